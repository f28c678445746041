import argparse
import fcntl
import json
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotopt.demo.environment import OPERATOR, ROOT, Directory, child_environment
from spotopt.demo.processes import POLL_SECONDS, Child, DemoFailed, Stopped, StopRequest

START_SECONDS = 60
PATIENCE_SECONDS = 20  # to end: the fleet compares the accounts first
EVENTFUL = ["--switches-per-day", "12", "--mean-life-hours", "8"]  # something to see every minute
DIALECTS = 4  # in the fleet's own mix, which needs an agent for each
MANAGE = [sys.executable, "manage.py"]


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev demo", description="Server, jobs and a simulated fleet, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: reachable from other machines, without TLS")
    parser.add_argument("--agents", type=int, default=12)
    parser.add_argument("--speed", type=float, default=60, help="simulated seconds per second (default: %(default)s)")
    parser.add_argument("--directory", type=Path, default=ROOT / ".demo", help="of everything it keeps")
    return parser.parse_args()


class Demo:
    def __init__(self, options: argparse.Namespace, stop: StopRequest) -> None:
        self.options, self.stop = options, stop
        self.directory = Directory(options.directory.resolve())
        is_here = options.host in ("127.0.0.1", "0.0.0.0")  # noqa: S104
        self.url = f"http://{'localhost' if is_here else options.host}:{options.port}"  # for people
        self.address = f"http://{'127.0.0.1' if is_here else options.host}:{options.port}"  # needs no /etc/hosts
        self.children: list[Child] = []

    def run(self) -> None:
        """Until Ctrl-C (Stopped) or until something fails (DemoFailed)."""
        check_port(self.options.host, self.options.port)
        is_new = not self.directory.env_file.exists()
        self.variables = self.directory.prepare(host=self.options.host, port=self.options.port)
        self.environment = child_environment(self.variables)
        say(f"{'Setting up' if is_new else 'Starting again with'} {self.directory.path}")
        self._run_once("migrate", "--no-input")
        client = json.loads(self._run_once("prepare_demo").splitlines()[-1])
        self._start("server", [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "spotopt.wsgi"])
        self._wait_until_healthy()
        self._start("jobs", [*MANAGE, "run_jobs"])
        self._say_where_to_look(client["client_id"])
        self._start_fleet(client["token"])
        self._watch()

    def end(self) -> None:
        """Last started, first ended: the fleet still needs the server for its report."""
        for child in reversed(self.children):
            child.end(self.stop, patience_seconds=PATIENCE_SECONDS)

    def _start(self, name: str, command: list[str]) -> Child:
        child = Child(name, command, environment=self.environment, log=self.directory.logs / f"{name}.log")
        self.children.append(child)
        return child

    def _run_once(self, *command: str) -> str:
        child = self._start(command[0], [*MANAGE, *command])
        child.wait(self.stop)
        child.end(self.stop, patience_seconds=0)
        self.children.remove(child)
        log = self.directory.logs / f"{command[0]}.log"
        output = log.read_text()
        log.unlink()  # tokens do not stay in logs
        return output

    def _start_fleet(self, token: str) -> None:
        where = ["--url", self.address, "--token", token, "--clock-file", str(self.directory.clock_file)]
        pace = ["--days", "0", "--speed", str(self.options.speed), "--start", str(self.directory.simulated_now)]
        fleet = ["--agents", str(self.options.agents), *EVENTFUL]
        if self.options.agents < DIALECTS:
            fleet += ["--mix", "v4=1"]
        command = [*MANAGE, "simulate_fleet", *where, *pace, *fleet, "--stretch", "1"]
        # On the terminal: its progress is what there is to watch.
        self.children.append(Child("the fleet", command, environment=self.environment, stop_with=signal.SIGINT))

    def _wait_until_healthy(self) -> None:
        server = self.children[-1]
        deadline = time.monotonic() + START_SECONDS
        while not is_healthy(self.address):
            self.stop.check()
            if server.has_ended:
                raise DemoFailed(server.obituary())
            if time.monotonic() > deadline:
                raise DemoFailed(f"The server does not answer at {self.url}/health. Its log: {server.log}")
            time.sleep(POLL_SECONDS)

    def _watch(self) -> None:
        while True:
            self.stop.check()
            for child in self.children:
                if child.has_ended:
                    raise DemoFailed(child.obituary())
            time.sleep(POLL_SECONDS)

    def _say_where_to_look(self, client_id: str) -> None:
        kept = self.directory.path
        say(f"""
Spot Optimizer runs with {self.options.agents} simulated agents at {self.options.speed:g} times real time.

  Console  {self.url}/admin/   user {OPERATOR}, password {self.variables["DEMO_PASSWORD"]}
  Overview {self.url}/dashboard/   same login
  Health   {self.url}/health   and for Prometheus {self.url}/metrics
  API      . {kept}/env && curl -H "Authorization: Bearer $ADMIN_TOKEN" {self.url}/api/client/{client_id}/instances
  Logs     {kept}/log/

Moves are ordered after the first hour of simulated time, interruptions come at any moment.
Ctrl-C ends it; the next start goes on from here. To begin anew, remove {kept}
""")


def check_port(host: str, port: int) -> None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise DemoFailed(f"{host}:{port} cannot be used: {error.strerror}. Try: ./dev demo --port {port + 1}") from None


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 (our own http address)
            return True
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def only_one_in(directory: Path) -> Iterator[None]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"Another demo runs with {directory} already.") from None
        yield


def main() -> int:
    options = parse_arguments()
    demo = Demo(options, StopRequest())
    try:
        with only_one_in(options.directory):
            try:
                demo.run()
            finally:
                demo.end()
    except Stopped:
        say(f"Stopped. Everything is kept in {options.directory}")
        return 0
    except DemoFailed as failure:
        sys.stderr.write(f"demo: {failure}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
