"""The capacity pools, and whose prices there are."""

from decimal import Decimal
from typing import Any

from instances.models import OnDemandPrice, Pool
from instances.serializers.prices import FALLBACK
from instances.services import price_backfill
from instances.services.price_news import Known
from spotopt.common.fields import split_pool_id
from spotopt.legacy.rows import MAX_ID, Row, Skip, is_instance_type, region_of
from spotopt.legacy.steps.prices import Prices, Series
from spotopt.legacy.tables import Key, Table

SPOT_TABLES = {"spot_price_snapshots": ("captured_at", "recorded_at")}
LIST_TABLES = {"ondemand_price_snapshots": ("captured_at", "recorded_at"), "ondemand_prices": ("recorded_at",)}


class Pools(Table[Pool]):
    label = name = "spot_pools"
    columns = ("id", "region", "is_active", "created_at")
    model = Pool
    compared = ("instance_type", "region", "az")

    def convert(self, row: Row) -> Pool:
        pool = make_pool(row.text("id", 1000), region=row.text("region", 32))
        if pool is None:
            raise Skip("its id is no <type>.<zone>, or its region is not known")
        pool.is_active = row.flag("is_active", True)
        pool.created_at = row.time("created_at") or self.now
        return pool

    def key_of(self, item: Pool) -> Key:
        return (item.pool_id,)

    def existing(self, items: list[Pool]) -> dict[Key, Pool]:
        return {self.key_of(pool): pool for pool in Pool.objects.filter(pool_id__in=[item.pool_id for item in items])}


class OnDemandPrices(Prices):
    label = "ondemand_prices"

    def series(self) -> list[Series]:
        tables = self.usable_tables(LIST_TABLES, {"instance_type", "region"})
        rows: dict[tuple[str, str], int] = {}
        for table, _ in tables:
            sql = f"SELECT instance_type AS t, region AS r, COUNT(*) AS n FROM `{table}` GROUP BY instance_type, region"  # noqa: S608
            for found in self.source.query(sql):
                rows[found["t"], found["r"]] = rows.get((found["t"], found["r"]), 0) + found["n"]
        return [
            Series(f"ondemand:{name}:{region}", number, tables, {"instance_type": name, "region": region})
            for (name, region), number in sorted(rows.items())
        ]

    def refusal(self, series: Series) -> str:
        name, region = series.where.values()
        is_usable = is_instance_type(name) and 0 < len(region) <= 32
        return "" if is_usable else "no instance type or region"

    def is_guess(self, price: Decimal) -> bool:
        return price == FALLBACK

    def find(self, series: Series) -> Known | None:
        return OnDemandPrice.objects.filter(**series.where).first()

    def blank(self, **state: Any) -> Known:
        return price_backfill.blank(OnDemandPrice, **state)

    def make(self, series: Series, past: Known) -> Known:
        state = {name: getattr(past, name) for name in ("price", "changed_at", "last_confirmed_at")}
        return OnDemandPrice.objects.create(**series.where, **state)


class SpotPrices(Prices):
    """After the on-demand prices, which pools are linked to."""

    label = "spot_price_snapshots"

    def series(self) -> list[Series]:
        tables = self.usable_tables(SPOT_TABLES, {"pool_id"})
        if not tables:
            return []
        counted = self.source.query(f"SELECT pool_id AS p, COUNT(*) AS n FROM `{self.label}` GROUP BY pool_id")  # noqa: S608
        return [Series(f"spot:{row['p']}"[:200], row["n"], tables, {"pool_id": row["p"]}) for row in counted]

    def refusal(self, series: Series) -> str:
        (pool_id,) = series.where.values()
        if self.find(series) or make_pool(pool_id):
            return ""
        return "its pool is not in spot_pools, and its id does not tell the region"

    def find(self, series: Series) -> Known | None:
        return Pool.objects.filter(**series.where).first()

    def blank(self, **state: Any) -> Known:
        return price_backfill.blank(Pool, **state)

    def make(self, series: Series, past: Known) -> Known:
        pool = make_pool(series.where["pool_id"])
        if pool is None:
            raise ValueError(series.key)
        pool.save()
        return pool

    def run(self) -> None:
        super().run()
        self._link()

    def _link(self) -> None:
        quotes = {(q.instance_type, q.region): q for q in OnDemandPrice.objects.all()}
        pools = [p for p in Pool.objects.filter(ondemand=None) if (p.instance_type, p.region) in quotes]
        for pool in pools:
            pool.ondemand = quotes[pool.instance_type, pool.region]
        Pool.objects.bulk_update(pools, ["ondemand"], batch_size=200)


def make_pool(pool_id: str, *, region: str = "") -> Pool | None:
    """Not saved. None for what cannot be a pool, and where the region is not told."""
    instance_type, az = split_pool_id(pool_id)
    region = region or region_of(az)
    if not (is_instance_type(instance_type) and 0 < len(az) <= 48 and 0 < len(region) <= MAX_ID // 2):
        return None
    return Pool(pool_id=pool_id, instance_type=instance_type, az=az, region=region)
