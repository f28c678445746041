"""AWS's spot advisor as a table.

Whoever runs the server fetches the file: https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.db import transaction

from decisions.models import SpotAdvice
from spotopt.common import clock

BATCH = 1000
BUCKETS = range(5)


class NotSpotAdvisorData(ValueError):
    """The text says what is wrong."""


def load_spot_advice(*, data: Any, operating_system: str = "Linux") -> int:
    """Replaces the whole table; a file that is not as expected leaves it as it was. Returns the number of rows."""
    rows = list(_rows(data, operating_system))
    if not rows:
        raise NotSpotAdvisorData(f"It holds no interruption rates for {operating_system}.")
    with transaction.atomic():
        SpotAdvice.objects.all().delete()
        SpotAdvice.objects.bulk_create(rows, batch_size=BATCH)
    return len(rows)


def _rows(data: Any, operating_system: str) -> Iterator[SpotAdvice]:
    """`spot_advisor`: {region: {system: {type: {r: bucket, s: saving}}}}; `instance_types`: {type: {cores, ram_gb}}."""
    now = clock.now()
    sizes = _object(data, "instance_types")
    for region, systems in _object(data, "spot_advisor").items():
        for instance_type, advice in _object(systems, operating_system, may_lack=True).items():
            bucket, saving = _number(advice, "r"), _number(advice, "s")
            if bucket is None or bucket not in BUCKETS or saving is None or not 0 <= saving <= 100:
                raise NotSpotAdvisorData(f"{region} {instance_type}: r must be 0 to 4, s 0 to 100.")
            size = sizes.get(instance_type)
            yield SpotAdvice(
                instance_type=instance_type,
                region=region,
                bucket=int(bucket),
                savings_percent=int(saving),
                vcpu=_number(size, "cores"),
                ram_gb=_number(size, "ram_gb"),
                loaded_at=now,
            )


def _object(data: Any, key: str, *, may_lack: bool = False) -> Mapping[str, Any]:
    found = data.get(key, {} if may_lack else None) if isinstance(data, Mapping) else None
    if not isinstance(found, Mapping):
        raise NotSpotAdvisorData(f"It has no object {key!r}.")
    return found


def _number(data: Any, key: str) -> float | None:
    found = data.get(key) if isinstance(data, Mapping) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
