import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from spotopt.e2e.processes import adopt_orphans
from spotopt.e2e.scenario import Scenario
from spotopt.e2e.stack import Stack

NAME_WIDTH = 28


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev e2e", description=__doc__)
    parser.add_argument("--agents", type=int, default=300, help="of the simulated fleet (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=190, help="that they call (default: %(default)g)")
    parser.add_argument("--keep", action="store_true", help="keep logs and backups")
    return parser.parse_args()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    options = parse_arguments()
    if not os.environ.get("DB_HOST"):
        sys.exit("There is no database. Start it as ./dev e2e")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    adopt_orphans()
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="spotopt-e2e-"))
    stack = Stack(directory)
    os.environ.update(stack.environment | {"DJANGO_SETTINGS_MODULE": "spotopt.settings", "LOG_DIR": ""})
    import django

    django.setup()
    scenario = Scenario(stack, agents=options.agents, seconds=options.seconds, say=say)
    try:
        scenario.run()
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    finally:
        if scenario.fleet:
            scenario.fleet.destroy()
        stack.destroy()
        if options.keep:
            say(f"Kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    say("")
    for check in scenario.checks:
        say(f"{'ok   ' if check.holds else 'WRONG'}  {check.name:<{NAME_WIDTH}}{check.detail}")
    succeeded = all(check.holds for check in scenario.checks)
    say(f"\n{'OK' if succeeded else 'FAILED'} after {time.monotonic() - began:.0f} s")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
