"""`./dev faults`: processes, database, disk, network and clock fail under load at random; nothing may be lost."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from spotopt.e2e.conduct import put_away, say, stop_on_signals
from spotopt.e2e.processes import Failed
from spotopt.faults.catalogue import FAULTS, drawn
from spotopt.faults.deployment import make_template
from spotopt.faults.invariants import Invariant
from spotopt.faults.mariadb import MariaDB
from spotopt.faults.seed import Plan, run
from spotopt.simulator.server import ServerFailed


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many, one after the other (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="only this one, as a report names it; otherwise 1, 2, 3 …")
    parser.add_argument("--only", action="append", choices=list(FAULTS), metavar="NAME", help=", ".join(FAULTS))
    parser.add_argument("--faults", type=int, default=4, help="per seed (default: %(default)s)")
    parser.add_argument("--agents", type=int, default=48, help="of the simulated fleet (default: %(default)s)")
    parser.add_argument("--outage", type=float, default=60, help="seconds of database_gone (default: %(default)g)")
    parser.add_argument("--calm-days", type=float, default=1, help="simulated, before the accounts are compared")
    parser.add_argument("--tolerance", type=float, default=0.01, help="between the two accounts of the savings")
    parser.add_argument("--careless", action="store_true", help="MariaDB without durability, which must be noticed")
    parser.add_argument("--keep", action="store_true", help="keep logs, databases and what was acknowledged")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    stop_on_signals()
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="spotopt-faults-"))
    directory.chmod(0o755)  # the database runs as another user
    failed: list[int] = []
    try:
        template = make_template(directory)
        seeds = [options.seed] if options.seed is not None else list(range(1, options.seeds + 1))
        for seed in seeds:
            if not _one(seed, options, directory / f"seed-{seed}", template=template):
                failed.append(seed)
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    except (Failed, ServerFailed) as failure:
        say(str(failure))
        return 1
    finally:
        put_away(directory, keep=options.keep)
    say(f"\n{len(seeds) - len(failed)} of {len(seeds)} seeds passed in {time.monotonic() - began:.0f} s")
    for seed in failed:
        say(f"FAILED: ./dev faults --seed {seed}" + "".join(f" --only {name}" for name in options.only or []))
    return 1 if failed else 0


def _one(seed: int, options: argparse.Namespace, directory: Path, *, template: MariaDB) -> bool:
    faults = options.only or drawn(seed, options.faults)
    if "disk_full" in faults and os.geteuid():
        say("disk_full is left out: only root may mount a small disk")
        faults = [name for name in faults if name != "disk_full"]
    say(f"\nseed {seed}: {', '.join(faults)}")
    plan = Plan(
        seed=seed,
        agents=options.agents,
        faults=faults,
        outage_seconds=options.outage,
        calm_days=options.calm_days,
        tolerance=options.tolerance,
        is_careless=options.careless,
    )
    began = time.monotonic()
    try:
        checked = run(plan, directory, template=template, say=say)
    except (Failed, ServerFailed) as failure:
        checked = [Invariant("the run", [str(failure)])]
        say(f"  BROKEN {failure}")
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
    holds = all(invariant.holds for invariant in checked)
    say(f"seed {seed} {'passed' if holds else 'FAILED'}: {len(checked)} checks in {time.monotonic() - began:.0f} s")
    return holds


if __name__ == "__main__":
    sys.exit(main())
