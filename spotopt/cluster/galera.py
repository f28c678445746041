"""Three MariaDB nodes with deploy/galera.cnf, each at an address of its own on this machine."""

import os
import re
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from spotopt.e2e.database import Database
from spotopt.e2e.database_user import as_database_user, give_to_database_user
from spotopt.e2e.processes import Failed, Service, run, until
from spotopt.simulator.server import ROOT, free_port, tail

PORT = 3306
SYNC_SECONDS = 90  # a full copy of a small database takes 15
ATTEMPTS = 3
SYNCED = "4"  # wsrep_local_state
# Tests bring no disks of their own and share memory with all other processes.
SMALL = "innodb_use_native_aio = 0\ninnodb_buffer_pool_size = 256M\ninnodb_log_file_size = 64M\n"
DOCUMENTED = "10.0.0.1"  # followed by 1, 2 or 3: the nodes' addresses in deploy/


def configuration(text: str, *, network: str, number: int, directory: Path, copy_port: int, multi_writer: bool) -> str:
    """deploy/galera.cnf for node `number`, at `network`.1<number>, with its files in `directory`.

    `copy_port`: where it takes a copy of everything; the program for that listens on all addresses of the machine.
    """
    text = text.replace(DOCUMENTED, f"{network}.1")
    own, first = f"{network}.1{number}", f"{network}.11"
    text = text.replace("bind_address = 0.0.0.0", f"bind_address = {own}")
    text = text.replace(f"listen_addr=tcp://{first}:", f"listen_addr=tcp://{own}:")
    text = text.replace(f"wsrep_node_address = {first}", f"wsrep_node_address = {own}")
    text = text.replace("wsrep_node_name = db1", f"wsrep_node_name = db{number}")
    if multi_writer:
        text = text.replace("wsrep_auto_increment_control = OFF", "wsrep_auto_increment_control = ON")
    places = {"datadir": "data", "socket": "socket", "pid_file": "pid", "tmpdir": "tmp"}
    text += "".join(f"{name} = {directory}/{file}\n" for name, file in places.items())
    return f"{text}wsrep_sst_receive_address = {own}:{copy_port}\n{SMALL}"


class Node:
    def __init__(self, number: int, *, network: str, directory: Path, multi_writer: bool) -> None:
        self.number, self.name = number, f"db{number}"
        self.address = f"{network}.1{number}"
        self.directory = directory / self.name
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        for made in (self.directory, self.data, self.directory / "tmp"):
            made.mkdir()
            give_to_database_user(made)
        self.file = self.directory / "my.cnf"
        given = (ROOT / "deploy/galera.cnf").read_text()
        self.file.write_text(
            configuration(
                given,
                network=network,
                number=number,
                directory=self.directory,
                copy_port=free_port(),
                multi_writer=multi_writer,
            )
        )
        self.socket = str(self.directory / "socket")
        self.service = self._service([])

    def install(self, statements: list[str]) -> None:
        """An empty database server; `statements` are carried out when it starts a cluster."""
        install = ["mariadb-install-db", "--no-defaults", "--force", f"--datadir={self.data}", "--skip-test-db"]
        install.append("--auth-root-authentication-method=normal")  # the socket lies in a directory of ours
        run("mariadb-install-db", as_database_user(install), environment=os.environ, log=self.log)
        (self.directory / "init.sql").write_text("".join(f"{statement};\n" for statement in statements))

    def found(self) -> None:
        """Start a new cluster, for the first node only."""
        self._start(["--wsrep-new-cluster", f"--init-file={self.directory / 'init.sql'}"])

    def join(self) -> float:
        """Start and wait until it has everything. How long that took."""
        began = time.monotonic()
        self._start([f"--wsrep-start-position={self._position()}"] if (self.data / "ibdata1").exists() else [])
        return time.monotonic() - began

    def kill(self) -> None:
        self.service.signal(signal.SIGKILL)
        self.service.wait(within_seconds=10)

    def lose_disk(self) -> None:
        shutil.rmtree(self.data)
        self.data.mkdir()
        give_to_database_user(self.data)

    def status(self, name: str) -> str:
        """Empty when it does not answer."""
        with suppress(Exception):  # MySQLdb's, which is imported where it is used
            rows = Database("", socket=self.socket).rows("SHOW STATUS LIKE %s", name)
            return str(rows[0][1]) if rows else ""
        return ""

    @property
    def is_synced(self) -> bool:
        return self.status("wsrep_local_state") == SYNCED

    def logged_since(self, offset: int, pattern: str) -> str:
        """What the first group of `pattern` matched last in the log from `offset` on; empty when nothing did."""
        matches = re.findall(pattern, self.log.read_bytes()[offset:].decode(errors="replace"))
        return str(matches[-1]) if matches else ""

    def _start(self, arguments: list[str]) -> None:
        """Tried again when it ends early, as systemd does: Galera now and then fails to start its network thread."""
        for attempt in range(ATTEMPTS):
            self.service.destroy()
            self.service = self._service(arguments)
            self.service.start()
            until(
                lambda: self.is_synced or not self.service.is_running,
                what=f"{self.name} is synced. {tail(self.log)}",
                within_seconds=SYNC_SECONDS,
            )
            if self.service.is_running:
                return
            if attempt == ATTEMPTS - 1:
                raise Failed(f"{self.name} ended. {tail(self.log)}")

    def _position(self) -> str:
        """Up to where its files hold the cluster's changes, as Debian's unit asks before it starts a node."""
        log = self.directory / "recovered.log"
        command = ["mariadbd", f"--defaults-file={self.file}", "--wsrep-recover", f"--log-error={log}"]
        run("mariadbd --wsrep-recover", as_database_user(command), environment=os.environ, log=self.log)
        return re.findall(r"WSREP: Recovered position:? (\S+)", log.read_text())[-1]

    def _service(self, arguments: list[str]) -> Service:
        command = as_database_user(["mariadbd", f"--defaults-file={self.file}", *arguments])
        return Service(self.name, command, environment=os.environ, log=self.log)


class Cluster:
    def __init__(self, directory: Path, *, network: str, password: str, multi_writer: bool) -> None:
        self.nodes = [
            Node(number, network=network, directory=directory, multi_writer=multi_writer) for number in (1, 2, 3)
        ]
        self._password = password

    def start(self, *, database: str, user: str) -> None:
        first, *others = self.nodes
        first.install(
            [
                f"CREATE DATABASE {database} CHARACTER SET utf8mb4",
                f"CREATE USER {user}@'%' IDENTIFIED BY '{self._password}'",
                f"GRANT ALL ON *.* TO {user}@'%'",
                "CREATE USER haproxy@'%'",
                "CREATE USER sst@localhost IDENTIFIED BY 'change-me'",
                "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO sst@localhost",
            ]
        )
        first.found()
        for node in others:
            node.join()

    @property
    def size(self) -> str:
        return next((size for node in self.nodes if (size := node.status("wsrep_cluster_size"))), "0")

    def databases(self, name: str) -> dict[str, Database]:
        return {node.name: Database(name, socket=node.socket) for node in self.nodes}

    def destroy(self) -> None:
        for node in self.nodes:
            node.service.destroy()


def conflicts(nodes: list[Node]) -> tuple[int, int]:
    """Over all nodes: commits that certification refused, and statements ended for a change from another node."""
    names = ("wsrep_local_cert_failures", "wsrep_local_bf_aborts")
    refused, ended = (sum(int(node.status(name) or 0) for node in nodes) for name in names)
    return refused, ended
