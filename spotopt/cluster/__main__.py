"""`./dev cluster`: two web machines and three database nodes for real; nodes and a machine die under load."""

import argparse
import sys
import tempfile
from pathlib import Path

from spotopt.cluster.scenario import ClusterScenario
from spotopt.cluster.stack import ClusterStack
from spotopt.e2e.conduct import conduct, prepare_process, say, set_up_django


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev cluster", description=__doc__)
    parser.add_argument("--agents", type=int, default=300, help="of the simulated fleet (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=250, help="that they call (default: %(default)g)")
    parser.add_argument("--multi-writer", action="store_true", help="each web machine writes to a node of its own")
    parser.add_argument("--keep", action="store_true", help="keep logs and databases")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    prepare_process()
    directory = Path(tempfile.mkdtemp(prefix="spotopt-cluster-", dir="/tmp"))  # noqa: S108 (a socket's path must be short)
    stack = ClusterStack(directory, multi_writer=options.multi_writer)
    set_up_django(stack)
    scenario = ClusterScenario(stack, agents=options.agents, seconds=options.seconds, say=say)
    return conduct(scenario, directory=directory, keep=options.keep)


if __name__ == "__main__":
    sys.exit(main())
