import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from instances.services.price_import import Imported, Quote, import_prices
from spotopt.common.fields import pool_id_of
from spotopt.common.wire import clean_price, clean_time
from spotopt.simulator.prices import BadPrices, Pool, Series, read_spot_prices

SAY_SECONDS = 5.0
LONGEST_TYPE, LONGEST_ZONE, LONGEST_REGION = 64, 48, 32  # as the columns have it


class Command(BaseCommand):
    help = "Add spot prices from AWS's history: JSON of `aws ec2 describe-spot-price-history`, or CSV; .gz or not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--dry-run", action="store_true", help="say what would be added, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        total = Imported()
        for path in options["files"]:
            try:
                series = read_spot_prices(path)
            except BadPrices as error:
                raise CommandError(str(error)) from error
            done = self._import(path, series, dry_run=options["dry_run"])
            self.stdout.write(f"{path}: {_told(done, options['dry_run'])}")
            total += done
        if len(options["files"]) > 1:
            self.stdout.write(f"Together: {_told(total, options['dry_run'])}")

    def _import(self, path: Path, series: dict[Pool, Series], *, dry_run: bool) -> Imported:
        done, said_at = Imported(), time.monotonic()
        for number, (pool, prices) in enumerate(sorted(series.items(), key=lambda item: item[0]), start=1):
            if not _fits(pool):
                self.stderr.write(f"{path}: {pool_id_of(pool.instance_type, pool.az)[:100]} is no pool, left out")
                continue
            done += import_prices(
                instance_type=pool.instance_type,
                az=pool.az,
                region=pool.region,
                quotes=_quotes(prices),
                dry_run=dry_run,
            )
            if time.monotonic() - said_at > SAY_SECONDS:
                said_at = time.monotonic()
                self.stdout.write(f"{path}: {number} of {len(series)} pools, {done.used} quotes …")
                self.stdout.flush()
        return done


def _fits(pool: Pool) -> bool:
    return (
        len(pool.instance_type) <= LONGEST_TYPE
        and "." in pool.instance_type
        and len(pool.az) <= LONGEST_ZONE
        and "." not in pool.az
        and 0 < len(pool.region) <= LONGEST_REGION
    )


def _quotes(prices: Series) -> list[Quote]:
    """Without what no column holds."""
    cleaned = [(clean_time(at), clean_price(price)) for at, price in zip(prices.times, prices.prices, strict=True)]
    return [(at, price) for at, price in cleaned if at and price]


def _told(done: Imported, dry_run: bool) -> str:
    rows = f"{done.rows} rows of history {'would be added' if dry_run else 'added'}"
    left_out = {
        "of times whose prices are here already": done.known,
        "older than PRICE_RETENTION_DAYS": done.expired,
        "in the future": done.future,
    }
    reasons = "".join(f", {number} {why}" for why, number in left_out.items() if number)
    return f"{done.pools} pools ({done.new_pools} new), {done.used} quotes used{reasons}; {rows}"
