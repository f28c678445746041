from dataclasses import replace
from datetime import timedelta

import pytest

from decisions.engine import (
    Evidence,
    Setbacks,
    Tuning,
    after_failed_launch,
    after_launch,
    after_loss,
    break_even_hours,
    faded,
    published_reclaims_per_hour,
    risk_value_hours,
)
from decisions.engine.hazard import hazards
from tests.decisions.engine.situations import HOUR, NOW, pool


def hazard(evidence, *others):
    candidates = [replace(pool(str(number)), evidence=one) for number, one in enumerate([evidence, *others])]
    return hazards(tuple(candidates))["0"]


def test_a_bucket_is_the_rate_that_loses_its_share_in_a_month():
    assert published_reclaims_per_hour(1) * 720 == pytest.approx(0.078, abs=0.001)
    rates = [published_reclaims_per_hour(bucket) for bucket in range(5)]
    assert rates == sorted(rates)


def test_without_own_experience_the_published_rate_counts():
    assert hazard(Evidence(bucket=2)) == pytest.approx(published_reclaims_per_hour(2))


def test_own_losses_raise_it_and_quiet_hours_lower_it():
    quiet, usual, bad = (hazard(Evidence(4, losses, 5000)) for losses in (0, 2, 20))
    assert quiet < usual < bad == pytest.approx(21 / 5000, rel=0.35)


def test_unrated_pools_of_a_region_share_their_scarcity():
    alone = hazard(Evidence())
    assert hazard(Evidence(), Evidence(reclaims=10, exposure_hours=10)) > 3 * alone
    assert hazard(Evidence(), Evidence(reclaims=0, exposure_hours=500)) < alone / 3
    assert hazard(Evidence(bucket=0), Evidence(reclaims=10, exposure_hours=10)) == hazard(Evidence(bucket=0))


def test_a_model_replaces_what_is_known_otherwise():
    assert hazard(Evidence(4, 50, 10, interruption_probability_24h=0.0)) == 0
    assert hazard(Evidence(interruption_probability_24h=0.5)) == pytest.approx(0.0289, abs=0.0001)


def test_evidence_fades_by_half_a_day():
    assert faded(Evidence(3, 4, 80), timedelta(hours=24)) == Evidence(3, 2, 40)


def test_a_loss_after_a_stay_that_paid_begins_a_new_run():
    run = after_loss(after_loss(Setbacks(), NOW, has_paid=False), NOW + HOUR, has_paid=False)
    assert run == Setbacks(NOW + HOUR, 2)
    assert after_loss(run, NOW + 2 * HOUR, has_paid=True).count == 1
    assert after_failed_launch(run, NOW + 30 * HOUR).count == 1
    assert after_launch() == Setbacks()


def test_a_stay_pays_once_it_has_saved_the_move_and_the_reclaim():
    tuning = Tuning(restart_hours=0.1, overlap_hours=0.4)
    assert break_even_hours(0.5, 1.0, risk_value=1, tuning=tuning) == pytest.approx(3)
    assert break_even_hours(1.0, 1.0, risk_value=1, tuning=tuning) == float("inf")


def test_who_accepts_less_risk_puts_a_higher_price_on_it():
    assert risk_value_hours(0.30) == pytest.approx(1)
    assert risk_value_hours(1.0) == 0
    assert risk_value_hours(0.05) > 8
    assert risk_value_hours(0.0) == 1000
