from decimal import Decimal

import pytest

from decisions.services import sessions
from decisions.services.checks import Checks
from decisions.services.trials import Status, Trial
from tests.factories import OnDemandPriceFactory, PoolFactory


@pytest.fixture
def market():
    """On-demand capacity, one dear pool and one cheap one."""
    OnDemandPriceFactory(instance_type="t3.medium", region="us-east-1", price=Decimal("0.0416"))
    for zone, price in (("a", "0.0150"), ("b", "0.0128")):
        PoolFactory(az=f"us-east-1{zone}", price=Decimal(price))


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
