"""`./dev e2e`: the whole deployment for real on this machine, under load, and what must hold meanwhile."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from spotopt.e2e.conduct import conduct, prepare_process, say, set_up_django
from spotopt.e2e.scenario import Scenario
from spotopt.e2e.stack import Stack


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev e2e", description=__doc__)
    parser.add_argument("--agents", type=int, default=300, help="of the simulated fleet (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=190, help="that they call (default: %(default)g)")
    parser.add_argument("--keep", action="store_true", help="keep logs and backups")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    if not os.environ.get("DB_HOST"):
        sys.exit("There is no database. Start it as ./dev e2e")
    prepare_process()
    directory = Path(tempfile.mkdtemp(prefix="spotopt-e2e-"))
    stack = Stack(directory)
    set_up_django(stack)
    scenario = Scenario(stack, agents=options.agents, seconds=options.seconds, say=say)
    return conduct(scenario, directory=directory, keep=options.keep)


if __name__ == "__main__":
    sys.exit(main())
