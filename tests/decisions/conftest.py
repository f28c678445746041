import pytest

from decisions.services import sessions
from decisions.services.checks import Checks
from decisions.services.trials import Status, Trial


@pytest.fixture
def model_dir(settings, tmp_path):
    settings.MODEL_DIR, settings.DECISION_ENGINE_DIR = str(tmp_path / "models"), str(tmp_path / "engines")
    return tmp_path / "models"


@pytest.fixture
def every_model_loads(monkeypatch):
    """For tests of what happens then: a real check starts a process, and so does a real backtest."""
    monkeypatch.setattr(Checks, "model", lambda self, name, path, *, sha256: {})
    monkeypatch.setattr(sessions, "_try_out", lambda session: None)
    untried = Trial(Status.TOO_LITTLE_HISTORY, "2026-01-05T12:00:00Z")
    monkeypatch.setattr(sessions, "trial_of", lambda session: untried)
