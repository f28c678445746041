"""Two machines with web, streams and jobs, each with its HAProxy, behind one nginx; three with a database."""

import os
import random
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from spotopt.cluster import galera, haproxy
from spotopt.e2e.processes import Service, listening, until
from spotopt.e2e.stack import EVENTS, GUNICORN, URGENT, Stack
from spotopt.simulator.server import ROOT

DATABASE, USER = "spot_optimizer", "spotopt"
PORTS = 8000, 8002, 8001  # of web, urgent, events, as in deploy/
HAPROXY_SECONDS = 15
# Of every call as its agent saw it: when it was answered, with what, after how long.
ACCESS_LOG = "log_format calls '$msec $status $request_time $request_method $uri';"
# As in docs/scaling.md: an agent's calls go to the same machine, as long as that lives.
CALLER = "map $uri $caller { ~^/api/agents/(?<agent>[^/]+)/ $agent; default $remote_addr; }"


@dataclass
class Machine:
    address: str  # HAProxy's
    haproxy: Service
    web: Service
    urgent: Service
    events: Service
    jobs: Service

    def __post_init__(self) -> None:
        self.sockets = {service.name: service.sock.getsockname() for service in self.listening if service.sock}

    @property
    def services(self) -> list[Service]:
        return [self.haproxy, *self.listening, self.jobs]

    @property
    def listening(self) -> list[Service]:
        return [self.web, self.urgent, self.events]

    def boot(self) -> None:
        for service in self.listening:
            if service.sock is None:
                service.sock = listening(*self.sockets[service.name])
        for service in self.services:
            service.start()

    def die(self) -> None:
        """As when its power fails: nobody listens any more, nothing is finished."""
        for service in self.services:
            service.destroy()
            if service.sock:
                service.sock.close()
                service.sock = None

    def writes(self) -> bool:
        """Its HAProxy has found a node that greets."""
        try:
            with socket.create_connection((self.address, galera.PORT), timeout=5) as connection:
                connection.settimeout(5)
                return bool(connection.recv(1))
        except OSError:
            return False


def free_network() -> str:
    """The first three bytes of addresses that nobody else uses: all of 127.0.0.0/8 is this machine."""
    return f"127.{random.randint(16, 250)}.{random.randint(1, 250)}"  # noqa: S311 (chance, not cryptography)


class ClusterStack(Stack):
    """`os.environ` must not name a database: each machine's is its own HAProxy."""

    def __init__(self, directory: Path, *, multi_writer: bool) -> None:
        self.network = free_network()
        self.multi_writer = multi_writer
        password = secrets.token_hex(16)
        os.environ |= {
            "DB_HOST": f"{self.network}.21",
            "DB_PORT": str(galera.PORT),
            "DB_USER": USER,
            "DB_PASSWORD": password,
            "DB_DATABASE": DATABASE,
        }
        super().__init__(directory)
        directory.chmod(0o711)  # the database's user passes through
        nodes = directory / "nodes"
        nodes.mkdir(mode=0o755)
        self.cluster = galera.Cluster(nodes, network=self.network, password=password, multi_writer=multi_writer)
        self.machines = [self._machine(1), self._machine(2)]
        self.access_log = self.logs / "calls.log"
        self._balance()

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"WRITES_PER_MINUTE": "0"}  # without limit, for spotopt.cluster.writer

    def _machine(self, number: int) -> Machine:
        address = f"{self.network}.2{number}"
        prefers = f"db{number}" if self.multi_writer else "db1"
        given = (ROOT / "deploy/haproxy.cfg").read_text()
        file = self.directory / f"haproxy-{number}.cfg"
        file.write_text(haproxy.configuration(given, network=self.network, address=address, prefers=prefers))
        proxy = self._service(f"haproxy-{number}", ["haproxy", "-f", str(file)])
        if number == 1:
            return Machine(address, proxy, self.web, self.urgent, self.events, self.jobs[0])
        own = self.environment | {"DB_HOST": address}
        pid_file = self.directory / f"web-{number}.pid"
        web = self._service(f"web-{number}", [*GUNICORN, "--pid", str(pid_file), "spotopt.wsgi"])
        urgent = self._service(f"urgent-{number}", [*GUNICORN, *URGENT])
        events = self._service(f"events-{number}", [*GUNICORN, *EVENTS])
        for service, port in zip((web, urgent, events), PORTS, strict=True):
            service.sock, service.environment = listening(address, port), own
        events.environment = own | {"DB_CONN_MAX_AGE": "0"}
        jobs = self.jobs[1]
        jobs.environment = own
        return Machine(address, proxy, web, urgent, events, jobs)

    def _balance(self) -> None:
        """nginx passes calls to both machines, and to the other one what one did not take."""
        first, second = self.machines
        file = self.directory / "nginx.conf"
        text = file.read_text()
        for one, other in zip(first.sockets.values(), second.sockets.values(), strict=True):
            line, added = (f"server {host}:{port};" for host, port in (one, other))
            text = text.replace(line, f"{line}\n    {added}")
        if not self.multi_writer:  # there an agent's calls shall meet both nodes
            text = text.replace("upstream spotopt {", "upstream spotopt {\n    hash $caller consistent;")
        text = text.replace("proxy_next_upstream off;", "proxy_next_upstream error;")
        text = text.replace("access_log off;", f"access_log {self.access_log} calls;")
        file.write_text(text.replace("http {", f"http {{\n    {ACCESS_LOG}\n    {CALLER}", 1))

    @property
    def services(self) -> list[Service]:
        return [self.nginx, *(service for machine in self.machines for service in machine.services)]

    def start_database(self) -> None:
        self.cluster.start(database=DATABASE, user=USER)
        for machine in self.machines:
            machine.haproxy.start()
            until(machine.writes, what=f"{machine.haproxy.name} has a node", within_seconds=HAPROXY_SECONDS)

    def start(self) -> None:
        for service in self.machines[1].listening:
            service.start()
        super().start()

    def destroy(self) -> None:
        super().destroy()
        for machine in self.machines:
            machine.die()
        self.cluster.destroy()
