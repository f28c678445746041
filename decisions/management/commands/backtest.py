import json
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from decisions.backtest.files import Advisor, Series, read_advisor, read_availability, read_ondemand, read_prices
from decisions.backtest.market import Market
from decisions.backtest.plot import NoPlotting, plot
from decisions.backtest.recorded import recorded_advisor, recorded_ondemand, recorded_series
from decisions.backtest.report import Group, as_json, table
from decisions.backtest.runs import POLICIES, Setup, run_group, sample_of
from decisions.backtest.scenarios import ANY_LARGER, SAME_TYPE, SCOPES, OnDemand, PriceSource
from decisions.backtest.traces import availability_markets
from decisions.engine import Limits, Tuning

EVERY_SECONDS = 5
SPOT_RATIO = "spot_ratio"
YEAR_OF_LIST_PRICES = 2023  # for traces, which do not say


class Command(BaseCommand):
    help = (
        "Replay recorded spot markets: what the engine and simple rules would have paid, against the best that "
        "hindsight could have done. Without --prices and --availability: this server's own history. "
        "docs/backtest.md explains it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        files: dict[str, Any] = {"type": Path, "nargs": "+", "default": [], "metavar": "FILE"}
        parser.add_argument("--prices", help="CSV, may be gzipped", **files)
        parser.add_argument("--availability", help="traces, as CSV", **files)
        parser.add_argument("--advisor", type=Path, metavar="FILE", help="published interruption rates, as CSV")
        parser.add_argument("--ondemand", type=Path, metavar="FILE", help="default: ondemand.csv beside the first file")
        parser.add_argument("--policy", default=",".join(POLICIES), help=f"of {', '.join(POLICIES)}")
        parser.add_argument("--scope", help=f"of {', '.join(SCOPES)}; default: all that the files allow")
        parser.add_argument("--sample", type=int, default=60, help="workloads per file and scope, evenly; 0: all")
        parser.add_argument("--days", type=int, default=30, help="of this server's own history")
        parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="chosen",
                            help="limits and tuning: " + ", ".join(_settable()))  # fmt: skip
        parser.add_argument("--json", type=Path, metavar="OUT")
        parser.add_argument("--plot", type=Path, metavar="OUT.png", help="needs matplotlib")

    def handle(self, *args: Any, **options: Any) -> None:
        self._said_at = time.monotonic()
        setup, spot_ratio = self._setup(options)
        try:
            groups = [group for group in self._groups(options, setup, spot_ratio) if group is not None]
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError) as error:
            raise CommandError(f"A file is not as docs/backtest.md describes: {error}") from error
        if not groups:
            raise CommandError("Nothing to replay: no workload has an on-demand price and two pools with prices.")
        if options["json"]:
            options["json"].write_text(json.dumps(as_json(groups, settings=_said(setup, spot_ratio)), indent=1))
        if options["plot"]:
            try:
                plot(groups, options["plot"])
            except NoPlotting as error:
                raise CommandError(str(error)) from error

    def _setup(self, options: dict[str, Any]) -> tuple[Setup, float]:
        policies = options["policy"].split(",")
        if unknown := set(policies) - set(POLICIES):
            raise CommandError(f"Unknown policy {', '.join(sorted(unknown))}; there are {', '.join(POLICIES)}.")
        given: dict[str, float] = {}
        for text in options["chosen"]:
            key, _, value = text.partition("=")
            if key not in _settable():
                raise CommandError(f"--set knows no {key!r}; there are {', '.join(_settable())}.")
            try:
                given[key] = float(value)
            except ValueError as error:
                raise CommandError(f"--set {key} takes a number, not {value!r}.") from error
        limits = replace(Limits(), **_fitting(Limits(), given))
        tuning = replace(Tuning(), **_fitting(Tuning(), given))
        return Setup(limits, tuning, policies), given.get(SPOT_RATIO, 0.3)

    def _groups(self, options: dict[str, Any], setup: Setup, spot_ratio: float) -> Iterator[Group | None]:
        if not options["prices"] and not options["availability"]:
            own = PriceSource(
                recorded_series(days=options["days"]), ondemand=recorded_ondemand(), advisor=recorded_advisor()
            )
            yield from self._scopes("own history", own, options, setup, has_sizes=True)
            return
        first = (options["prices"] or options["availability"])[0]
        list_prices = options["ondemand"] or first.parent / "ondemand.csv"
        advisor: Advisor = read_advisor(options["advisor"]) if options["advisor"] else {}
        everything: list[Series] = []
        for path in options["prices"]:
            series = read_prices(path)
            everything += series
            source = PriceSource(series, ondemand=_ondemand_of(series, list_prices), advisor=advisor)
            yield from self._scopes(path.name, source, options, setup, has_sizes=bool(advisor))
        for path in options["availability"]:
            ondemand = read_ondemand(list_prices, YEAR_OF_LIST_PRICES)
            traces = read_availability(path)
            markets = list(availability_markets(traces, ondemand=ondemand, series=everything, spot_ratio=spot_ratio))
            yield self._group(path.name, markets, len(markets), len(markets), setup)

    def _scopes(
        self, name: str, source: PriceSource, options: dict[str, Any], setup: Setup, *, has_sizes: bool
    ) -> Iterator[Group | None]:
        """`any-larger` needs the sizes of types, which the advisor's file holds."""
        usual = SCOPES if has_sizes else (SAME_TYPE,)
        for scope in options["scope"].split(",") if options["scope"] else usual:
            if scope not in SCOPES:
                raise CommandError(f"Unknown scope {scope!r}; there are {', '.join(SCOPES)}.")
            if scope == ANY_LARGER and not has_sizes:
                raise CommandError(f"--scope {ANY_LARGER} needs --advisor, which holds the sizes of types.")
            workloads = source.workloads(scope)
            chosen = sample_of(workloads, options["sample"])
            yield self._group(f"{name} {scope}", source.markets(chosen, scope), len(workloads), len(chosen), setup)

    def _group(self, name: str, markets: Iterable[Market], found: int, expected: int, setup: Setup) -> Group | None:
        group = run_group(name, markets, found=found, expected=expected, setup=setup, progress=self._progress)
        if group is None:
            self.stderr.write(f"{name}: no workload to replay")
        else:
            self.stdout.write(table(group) + "\n")
        return group

    def _progress(self, done: int, expected: int, name: str) -> None:
        if time.monotonic() - self._said_at > EVERY_SECONDS:
            self.stderr.write(f"{done:>5} of {expected}  {name}")
            self._said_at = time.monotonic()


def _names(kind: type[Limits] | type[Tuning]) -> list[str]:
    return [one.name for one in fields(kind)]


def _fitting(defaults: Limits | Tuning, given: dict[str, float]) -> dict[str, Any]:
    """Those of `given` that `defaults` has, as whole numbers where the default is one."""
    own = {name: getattr(defaults, name) for name in _names(type(defaults)) if name in given}
    return {name: int(given[name]) if isinstance(value, int) else given[name] for name, value in own.items()}


def _settable() -> list[str]:
    return [*_names(Limits), *_names(Tuning), SPOT_RATIO]


def _ondemand_of(series: Sequence[Series], list_prices: Path) -> OnDemand:
    year = time.gmtime(min((one.times[0] for one in series), default=0.0)).tm_year
    return read_ondemand(list_prices, year)


def _said(setup: Setup, spot_ratio: float) -> dict[str, Any]:
    values = {name: getattr(setup.limits, name) for name in _names(Limits)}
    values |= {name: getattr(setup.tuning, name) for name in _names(Tuning)}
    return values | {"risk_value": setup.risk_value, SPOT_RATIO: spot_ratio}
