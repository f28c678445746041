"""How likely a pool is to take an instance back. docs/engine.md derives each number."""

from collections import defaultdict
from math import exp, log

from decisions.engine.types import Candidate, Evidence

HOURS_PER_MONTH = 30 * 24

# AWS's spot advisor: share of instances reclaimed in the trailing month, the middle of each bucket. The last is open:
# 24 % of types are in it, five times as many as in 15-20 %; spread as densely, they reach from 20 % to 44 %.
BUCKET_SHARE = (0.025, 0.075, 0.125, 0.175, 0.32)

# A gamma prior weighs as much as one reclaim. Where AWS publishes nothing it is one in a day, soon outvoted either way:
# instances then last as a Lomax distribution says, heavy-tailed as those of public traces.
PRIOR_RECLAIMS = 1.0
UNPUBLISHED_HOURS = 24.0


BUCKET_RATES = tuple(-log(1 - share) / HOURS_PER_MONTH for share in BUCKET_SHARE)


def published_reclaims_per_hour(bucket: int) -> float:
    """The constant rate at which a bucket's share of instances is lost within a month."""
    return BUCKET_RATES[min(max(bucket, 0), len(BUCKET_RATES) - 1)]


def hazards(candidates: tuple[Candidate, ...]) -> dict[str, float]:
    """Reclaims per hour of each pool.

    The mean of a gamma prior updated with the fleet's reclaims and exposure. The prior is the published rate, else what
    the unrated pools of the region went through together: scarcity is shared within a region, hardly across.
    """
    usual = _regional_hours(candidates)
    return {one.pool_id: _hazard(one.evidence, usual.get(one.region, UNPUBLISHED_HOURS)) for one in candidates}


def _hazard(evidence: Evidence, usual_hours: float) -> float:
    probability = evidence.interruption_probability_24h
    if probability is not None:
        return -log(1 - min(max(probability, 0.0), 0.9999)) / 24
    hours = usual_hours if evidence.bucket is None else 1 / published_reclaims_per_hour(evidence.bucket)
    return (PRIOR_RECLAIMS + evidence.reclaims) / (PRIOR_RECLAIMS * hours + evidence.exposure_hours)


def _regional_hours(candidates: tuple[Candidate, ...]) -> dict[str, float]:
    """{region: mean hours between reclaims} of the pools that AWS publishes nothing on."""
    reclaims: dict[str, float] = defaultdict(lambda: PRIOR_RECLAIMS)
    hours: dict[str, float] = defaultdict(lambda: PRIOR_RECLAIMS * UNPUBLISHED_HOURS)
    for one in candidates:
        if one.evidence.bucket is None:
            reclaims[one.region] += one.evidence.reclaims
            hours[one.region] += one.evidence.exposure_hours
    return {region: hours[region] / reclaims[region] for region in reclaims}


def is_known(evidence: Evidence) -> bool:
    """False where the hazard is nothing but the prior: good enough to decide with, no figure to show."""
    has_rate = evidence.bucket is not None or evidence.interruption_probability_24h is not None
    return has_rate or evidence.exposure_hours > 0 or evidence.reclaims > 0


def probability_within(hazard_per_hour: float, hours: float) -> float:
    return 1 - exp(-hazard_per_hour * hours)
