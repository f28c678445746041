import pytest

from decisions.services.checks import Checks


@pytest.fixture
def model_dir(settings, tmp_path):
    settings.MODEL_DIR, settings.DECISION_ENGINE_DIR = str(tmp_path / "models"), str(tmp_path / "engines")
    return tmp_path / "models"


@pytest.fixture
def every_model_loads(monkeypatch):
    """For tests of what happens then: a real check starts a process."""
    monkeypatch.setattr(Checks, "model", lambda self, name, path, *, sha256: {})
