"""`manage.py simulate_fleet`: a fleet of simulated agents against a running server, or one started for it."""

import shutil
import signal
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from spotopt.simulator import market
from spotopt.simulator.clockfile import Clock, ClockFile, ServersOwnClock
from spotopt.simulator.dialects import DIALECTS
from spotopt.simulator.fleet import START_WITHIN_SECONDS, Fleet, Options, is_loopback
from spotopt.simulator.losses import read_losses
from spotopt.simulator.pace import automatic_stretch
from spotopt.simulator.prices import BadPrices, PriceBook, built_in_ondemand, read_ondemand, read_spot_prices
from spotopt.simulator.promises import Promises
from spotopt.simulator.report import Progress, is_terminal, render
from spotopt.simulator.server import Server, ServerFailed, temporary_directory
from spotopt.simulator.steerer import FIRST_ORDER_SECONDS
from spotopt.simulator.transport import Transport
from spotopt.simulator.world import QUIET_SECONDS, Chances

DEFAULT_MIX = "v4=50,v2=15,v4b=15,v5=20"  # percent
ENDLESS_PRICE_DAYS = 730.0
MEAN_LIFE_HOURS = 120.0
# What real fleets tell of their signals, with --losses; recall and precision are those of design 2.7
TROUBLED = Chances(
    rebalance_signal=0.6, rebalance_precision=0.3, late_notice=0.1, missing_notice=0.05, dies_in_emergency=0.05
)
SIGNAL_OPTIONS = {  # field of Chances by option
    "--rebalance-recall": "rebalance_signal",
    "--rebalance-precision": "rebalance_precision",
    "--late-notices": "late_notice",
    "--missing-notices": "missing_notice",
    "--dying-agents": "dies_in_emergency",
}


class Command(BaseCommand):
    help = "Run a fleet of simulated agents against the server and compare both accounts of what happened."
    requires_system_checks = []  # the server is another process, often on another machine

    def add_arguments(self, parser: ArgumentParser) -> None:
        where = parser.add_argument_group("server")
        where.add_argument("--serve", action="store_true", help="start a server of its own on a fresh database")
        where.add_argument("--url", help="a running server, with --token")
        where.add_argument("--token", help="the client token that the agents use")
        where.add_argument("--ca", type=Path, help="with --url: the certificate that vouches for the server's")
        where.add_argument("--clock-file", type=Path, help="with --url: the SIMULATED_CLOCK_FILE the server runs on")
        where.add_argument("--port", type=int, default=0, help="with --serve (default: a free one)")
        where.add_argument("--keep", action="store_true", help="with --serve: keep the database and logs")
        where.add_argument("--kill-every", type=float, default=0, metavar="HOURS", help="with --serve: SIGKILL it")
        fleet = parser.add_argument_group("fleet")
        fleet.add_argument("--agents", type=int, default=20)
        fleet.add_argument("--mix", default=DEFAULT_MIX, help="shares of the dialects (default: %(default)s)")
        fleet.add_argument("--seed", type=int, default=1)
        fleet.add_argument("--switches-per-day", type=float, default=0.5, help="ordered moves per agent")
        fleet.add_argument(
            "--mean-life-hours",
            type=float,
            help="of a spot instance; 0: no interruptions (default: 120, with --losses 0)",
        )
        fleet.add_argument("--types", type=int, default=8, help="instance types the fleet is made of")
        add_signal_arguments(parser)
        prices = parser.add_argument_group("prices")
        prices.add_argument("--prices", type=Path, help="describe-spot-price-history JSON, or CSV, gzipped or not")
        prices.add_argument("--ondemand", type=Path, help="CSV: region, instance_type, ondemand_usd_per_hour")
        prices.add_argument("--region", default="", help="of the price file (default: the one with the most pools)")
        pace = parser.add_argument_group("time")
        pace.add_argument("--days", type=float, default=1.0, help="simulated; 0: until Ctrl-C")
        pace.add_argument("--start", help="Unix time or ISO date (default: --days ago, or the price file's first)")
        pace.add_argument("--speed", type=float, help="simulated seconds per second (default: as fast as it goes)")
        pace.add_argument("--real-time", action="store_const", dest="speed", const=1.0, help="the same as --speed 1")
        pace.add_argument("--stretch", type=float, help="of idle calls; 1: the agents' true rates")
        for option, seconds, what in (
            ("--start-within", START_WITHIN_SECONDS, "until all agents are up"),
            ("--first-order", FIRST_ORDER_SECONDS, "until the first move is ordered"),
            ("--quiet", QUIET_SECONDS, "at the end without new orders"),
        ):
            text = f"{what} (default: %(default)g)"
            pace.add_argument(option, type=float, default=seconds, metavar="SECONDS", help=text)
        pace.add_argument("--target-requests", type=int, default=120_000, help="what an automatic stretch aims at")
        pace.add_argument("--threads", type=int, default=8)
        output = parser.add_argument_group("output")
        output.add_argument("--log", type=Path, help="JSON lines: every write that the server acknowledged")
        output.add_argument("--promises", type=Path, help="with --url: JSON lines of what must never be lost again")
        output.add_argument("--progress-every", type=float, default=10, metavar="SECONDS")
        output.add_argument("--tolerance", type=float, default=0.01, help="between the two accounts of the savings")

    def handle(self, *args: Any, **given: Any) -> None:
        if given["serve"] == bool(given["url"]) or (given["url"] and not given["token"]):
            raise CommandError("Say either --serve, or --url and --token.")
        own_clock = given["serve"] or given["clock_file"]
        if not own_clock:
            given |= {"speed": 1.0, "stretch": 1.0, "start": str(time.time())}
        try:
            prices, start = choose_prices(given)
            options = make_options(given, start=start)
            succeeded = self._serve(options, prices, given) if given["serve"] else self._visit(options, prices, given)
        except (BadPrices, ServerFailed) as error:
            raise CommandError(str(error)) from error
        if not succeeded:
            raise SystemExit(1)

    def _serve(self, options: Options, prices: PriceBook, given: dict[str, Any]) -> bool:
        directory = temporary_directory()
        clock = ClockFile(directory / "clock", at=options.start)
        server = Server(clock_file=clock.path, directory=directory, port=given["port"])
        self.stdout.write(f"Server of its own: {server.url}, files in {directory}")
        try:
            runner = server.prepare()
            try:
                server.start()
                client_id, token = server.create_client("Simulated fleet")
                transport = Transport(server.url, token=token, journal=given["log"], bind_sources=True)
                say = self.stdout.write
                parts: dict[str, Any] = {"server": server, "runner": runner, "say": say}
                fleet = Fleet(options, transport=transport, prices=prices, clock=clock, client_id=client_id, **parts)
                return self._run(fleet, given)
            finally:
                runner.close()
        finally:
            server.stop()
            if not given["keep"]:
                shutil.rmtree(directory, ignore_errors=True)

    def _visit(self, options: Options, prices: PriceBook, given: dict[str, Any]) -> bool:
        clock: Clock = ServersOwnClock()
        if given["clock_file"]:
            clock = ClockFile(given["clock_file"], at=options.start)
        transport = Transport(
            given["url"],
            token=given["token"],
            journal=given["log"],
            bind_sources=is_loopback(given["url"]),
            authority=given["ca"],
        )
        with transport.session() as session:
            reply = transport.call(session, "GET", "/api/client/validate", kind="validate")
        if not reply.ok:
            raise CommandError(f"The server does not accept the token: {reply.status} {reply.get('error', '')}")
        client_id = str(reply.get("client_id"))
        fleet = Fleet(
            options, transport=transport, prices=prices, clock=clock, client_id=client_id, say=self.stdout.write
        )
        fleet.world.promises = Promises(log=given["promises"])
        return self._run(fleet, given)

    def _run(self, fleet: Fleet, given: dict[str, Any]) -> bool:
        progress = Progress(
            fleet.world, write=self._write_raw, every_seconds=given["progress_every"], is_terminal=is_terminal()
        )
        with graceful_stop(fleet):
            result = fleet.run(progress)
        progress.finish()
        fleet.world.transport.close()
        self.stdout.write(render(result))
        return result.succeeded

    def _write_raw(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()


@contextmanager
def graceful_stop(fleet: Fleet) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the simulation between two moments, so that the table still comes."""

    def stop(*_: object) -> None:
        fleet.world.scheduler.stop_requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def make_options(given: dict[str, Any], *, start: float) -> Options:
    mix = shares(given["mix"], agents=given["agents"])
    losses = read_losses(given["losses"]) if given["losses"] else {}
    mean_life_hours = given["mean_life_hours"]
    if mean_life_hours is None:
        mean_life_hours = 0.0 if losses else MEAN_LIFE_HOURS
    stretch = given["stretch"]
    if stretch is None:
        stretch = automatic_stretch(mix=mix, days=given["days"] or 1, target_requests=given["target_requests"])
    return Options(
        mix=mix,
        days=given["days"],
        seed=given["seed"],
        start=start,
        speed=given["speed"],
        stretch=stretch,
        threads=given["threads"],
        mean_life_hours=mean_life_hours,
        switches_per_day=given["switches_per_day"],
        kill_every_hours=given["kill_every"],
        tolerance=given["tolerance"],
        losses=losses,
        losses_every_days=given["losses_every"],
        chances=chosen_chances(given, default=TROUBLED if losses else Chances()),
        start_within_seconds=given["start_within"],
        first_order_seconds=given["first_order"],
        quiet_seconds=given["quiet"],
    )


def add_signal_arguments(parser: ArgumentParser) -> None:
    signals = parser.add_argument_group("interruptions", "shares of 1; the defaults in brackets hold with --losses")
    signals.add_argument("--losses", type=Path, help="CSV of an availability trace that drives them, gzipped or not")
    signals.add_argument(
        "--losses-every",
        type=at_least_one,
        default=1.0,
        metavar="DAYS",
        help="each instance type lives through a day of its trace only once in so many days (default: every day)",
    )
    for option, name in SIGNAL_OPTIONS.items():
        usual, troubled = getattr(Chances(), name), getattr(TROUBLED, name)
        signals.add_argument(option, type=share, dest=name, help=f"default {usual:g} [{troubled:g}]")


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def at_least_one(text: str) -> float:
    value = float(text)
    if not value >= 1:
        raise ArgumentTypeError(f"{text} is less than 1")
    return value


def chosen_chances(given: dict[str, Any], *, default: Chances) -> Chances:
    chosen = {name: given[name] for name in SIGNAL_OPTIONS.values() if given[name] is not None}
    if chosen.get("rebalance_precision") == 0:
        raise CommandError("--rebalance-precision must be more than 0.")
    return replace(default, **chosen)


def shares(mix: str, *, agents: int) -> dict[str, int]:
    """`v4=3,v5=1` of 8 agents → 6 and 2; every named dialect gets at least one. Raises CommandError."""
    try:
        weights = {name.strip(): float(weight) for name, _, weight in (part.partition("=") for part in mix.split(","))}
    except ValueError:
        raise CommandError(f"--mix {mix} is not of the form v4=50,v2=15,v4b=15,v5=20.") from None
    if unknown := weights.keys() - DIALECTS.keys():
        raise CommandError(f"Unknown dialect {', '.join(sorted(unknown))}; there are {', '.join(DIALECTS)}.")
    named = {name: weight for name, weight in weights.items() if weight > 0}
    if not named or agents < len(named):
        raise CommandError(f"{agents} agents are too few for the {len(named)} dialects of --mix {mix}.")
    total = sum(named.values())
    counts = {name: max(1, int(agents * weight / total)) for name, weight in named.items()}
    largest = max(named, key=lambda name: named[name])
    counts[largest] += agents - sum(counts.values())
    return counts


def choose_prices(given: dict[str, Any]) -> tuple[PriceBook, float]:
    """The prices of the run and its first moment."""
    days = given["days"] or ENDLESS_PRICE_DAYS
    start = parsed_start(given["start"])
    if given["prices"] is None:
        start = start if start is not None else (time.time() - (given["days"] or 0) * 86400) // 3600 * 3600
        book = market.generate(start=start, days=days + 1, seed=given["seed"])
        return book.limited_to(start, start, types=given["types"]), start
    series = read_spot_prices(given["prices"])
    first = min(s.times[0] for s in series.values())
    start = start if start is not None else (first // 3600 + 1) * 3600
    if given["ondemand"]:
        ondemand = read_ondemand(given["ondemand"], year=datetime.fromtimestamp(start, UTC).year)
    else:
        ondemand = built_in_ondemand("us-east-1")
    end = start + given["days"] * 86400 if given["days"] else max(s.times[-1] for s in series.values())
    return PriceBook(series, ondemand).limited_to(start, end, types=given["types"], region=given["region"]), start


def parsed_start(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--start {text} is neither a Unix time nor an ISO date.") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
