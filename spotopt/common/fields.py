"""Small vocabulary shared by the models: modes, identifiers, money."""

import uuid
from typing import Any

from django.db import models

from spotopt.common.db import ExactCharField


class Mode(models.TextChoices):
    """How an instance is bought; emitted exactly so on the wire."""

    SPOT = "spot"
    ONDEMAND = "ondemand"
    UNKNOWN = "unknown"


class DecisionMode(models.TextChoices):
    """What becomes of the engine's decision to move a workload."""

    AUTO = "auto"  # it is ordered
    APPROVE = "approve"  # it waits for a person
    RECOMMEND = "recommend"  # it is written down, and nothing else


def new_id() -> str:
    return str(uuid.uuid4())


class PublicIdField(ExactCharField):
    """What the wire calls id: UUID text for our rows, any text for rows imported from the old server."""

    def __init__(self, **kwargs: Any) -> None:
        defaults: dict[str, Any] = {"max_length": 64, "unique": True, "default": new_id, "editable": False}
        super().__init__(**defaults | kwargs)


class PriceField(models.DecimalField):
    """USD per instance-hour."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_digits": 12, "decimal_places": 6} | kwargs)


def pool_id_of(instance_type: str, az: str) -> str:
    return f"{instance_type}.{az}"


def split_pool_id(pool_id: str) -> tuple[str, str]:
    """`t3.medium.us-east-1a` → (`t3.medium`, `us-east-1a`): the zone is everything after the last dot."""
    instance_type, _, az = pool_id.rpartition(".")
    return instance_type, az
