"""A MariaDB of our own that may be killed, stopped, filled up and started again.

What it acknowledged is on disk, whatever dies afterwards, unless it is asked to be careless.
"""

import os
import secrets
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from spotopt.e2e.database_user import as_database_user, give_to_database_user
from spotopt.e2e.processes import Failed, Service, until
from spotopt.simulator.server import database_connection, free_port, tail

USER, DATABASE = "spotopt", "spot_optimizer"
START_SECONDS = 60
SMALL_DISK_MB = 320  # the files of a fresh database take 120
OPTIONS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--max-connections=300",
    "--skip-log-bin",
    "--innodb-use-native-aio=0",  # containers often forbid io_uring
    "--innodb-buffer-pool-size=128M",
    "--innodb-log-file-size=48M",
)
DURABLE, CARELESS = ("--innodb-flush-log-at-trx-commit=1",), ("--innodb-flush-log-at-trx-commit=0",)


class MariaDB:
    """`directory` holds data, socket and logs. A new one may begin with the files of another that was stopped."""

    def __init__(self, directory: Path, *, is_careless: bool = False) -> None:
        self.directory, self.data = directory, directory / "data"
        self.password = secrets.token_hex(16)
        self.port = free_port()
        self.log = directory / "mariadb.log"
        self._disk: Path | None = None
        command = ["mariadbd", "--no-defaults", f"--datadir={self.data}", f"--port={self.port}"]
        command += [f"--socket={directory}/socket", f"--pid-file={directory}/pid", *OPTIONS]
        command += CARELESS if is_careless else DURABLE
        environment = {"PATH": os.environ["PATH"] + ":/usr/sbin", "LANG": "C.UTF-8"}
        self.service = Service("mariadb", as_database_user(command), environment=environment, log=self.log)

    @property
    def environment(self) -> dict[str, str]:
        address = {"DB_HOST": "127.0.0.1", "DB_PORT": str(self.port)}
        return address | {"DB_USER": USER, "DB_PASSWORD": self.password, "DB_DATABASE": DATABASE}

    # --- Files ----------------------------------------------------------------------------------------------------

    def install(self) -> None:
        self.directory.mkdir(exist_ok=True)
        first = self.directory / "first.sql"
        first.write_text(
            f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4;\n"
            f"CREATE USER {USER}@'%' IDENTIFIED BY '{self.password}';\nGRANT ALL ON *.* TO {USER}@'%';\n"
        )
        give_to_database_user(self.directory)
        # --force: a container's host name often resolves to nothing, and nobody connects by name here
        command = ["mariadb-install-db", "--no-defaults", "--force", "--skip-test-db", f"--datadir={self.data}"]
        with self.log.open("ab") as log:
            done = subprocess.run(  # noqa: S603 (our own program)
                as_database_user(command),
                cwd=self.directory,
                env=self.service.environment,
                stdout=log,
                stderr=log,
                check=False,
            )
        if done.returncode:
            raise Failed(f"mariadb-install-db failed. {tail(self.log)}")
        self.service.command.append(f"--init-file={first}")

    def begin_with(self, other: "MariaDB", *, on_small_disk: bool = False) -> None:
        """A copy of the files of `other`, which must not run."""
        self.directory.mkdir()
        self.password = other.password
        if on_small_disk:
            self._mount()
        shutil.copytree(other.data, self.data, dirs_exist_ok=True)
        give_to_database_user(self.directory)

    def _mount(self) -> None:
        self.data.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "spotopt-faults", str(self.data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise Failed(f"A small disk cannot be made here: {done.stderr.strip()}")
        self._disk = self.data

    def fill_disk(self) -> int:
        """Leaves no room on the small disk. How many bytes were free."""
        if self._disk is None:
            raise Failed("The database is not on a small disk")
        written = 0
        with (self._disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                written += file.write(bytes(1 << 16))
        return written

    def free_disk(self) -> None:
        if self._disk:
            (self._disk / "ballast").unlink(missing_ok=True)

    # --- Life -----------------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self.service.is_running

    def start(self) -> float:
        """How long it took until it answered. Raises Failed."""
        self.service.start()
        return until(self.answers, what="MariaDB answers", within_seconds=START_SECONDS)

    def answers(self) -> bool:
        if not self.is_running:
            raise Failed(f"MariaDB has ended. {tail(self.log)}")
        try:
            database_connection().close()
        except Exception:  # MySQLdb is there only once it is needed, so its errors have no name here
            return False
        return True

    def kill(self) -> None:
        """SIGKILL: whatever it had not written is gone."""
        self.service.signal(signal.SIGKILL)
        self.service.wait(within_seconds=10)

    def stop(self) -> None:
        self.service.stop(within_seconds=60)

    def freeze(self) -> None:
        self.service.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.service.signal(signal.SIGCONT)

    def destroy(self) -> None:
        self.service.destroy()
        if self._disk:
            subprocess.run(["umount", str(self._disk)], check=False)  # noqa: S603, S607
            self._disk = None
