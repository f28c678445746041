"""Consistent copies of the database while the server runs, and their return into an empty one.

MySQL and MariaDB: the client programs' dump in one transaction. SQLite: its online backup. Both gzipped; a file has its
final name only once it is complete and on the disk.
"""

import gzip
import os
import shutil
import sqlite3
import subprocess
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.db import connection

from spotopt.common import clock

PREFIX = "spotopt-"
CHUNK = 1024 * 1024
LEVEL = 6  # of gzip: the dump itself is the slower half
DUMP_OPTIONS = [
    "--single-transaction",
    "--quick",
    "--hex-blob",
    "--no-tablespaces",  # would need a privilege of the whole server
    "--skip-add-drop-table",  # a file must not be able to overwrite anything
    "--default-character-set=utf8mb4",
]
DUMP_ENDS_WITH = b"-- Dump completed"


class BackupFailed(Exception):
    """The text is for the operator."""


class Database(ABC):
    suffix: str

    @abstractmethod
    def write(self, target: Path) -> None: ...

    @abstractmethod
    def check(self, file: Path) -> None:
        """Raises BackupFailed unless it is a whole backup of this kind of database."""

    @abstractmethod
    def read(self, file: Path) -> None: ...


def database() -> Database:
    return MySql() if connection.vendor == "mysql" else Sqlite()


def make_backup(directory: Path, *, keep: int = 0) -> Path:
    """With `keep`, only that many of the directory's backups stay. Raises BackupFailed."""
    kind = database()
    target = directory / f"{PREFIX}{clock.machine_now():%Y%m%dT%H%M%S.%fZ}{kind.suffix}"
    part = target.with_name(target.name + ".part")
    try:
        with open(part, "xb", opener=_private):
            pass
        kind.write(part)
        kind.check(part)
        _sync(part)
        part.rename(target)
        _sync(directory)
    except OSError as error:
        raise BackupFailed(f"{target} could not be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    if keep:
        for old in sorted(directory.glob(f"{PREFIX}*{kind.suffix}"))[:-keep]:
            old.unlink()
    return target


def restore_backup(file: Path) -> int:
    """Into a database without tables. Returns how many there are now. Raises BackupFailed."""
    kind = database()
    if not file.name.endswith(kind.suffix):
        raise BackupFailed(f"{file.name} is no backup of this kind of database: its name would end with {kind.suffix}")
    if tables := connection.introspection.table_names():
        name = connection.settings_dict["NAME"]
        raise BackupFailed(f"{name} has {len(tables)} tables. A backup is restored into an empty database only")
    connection.close()
    try:
        kind.check(file)
        kind.read(file)
    except OSError as error:
        raise BackupFailed(f"{file} could not be read: {error.strerror or error}") from error
    return len(connection.introspection.table_names())


class MySql(Database):
    suffix = ".sql.gz"

    def write(self, target: Path) -> None:
        program = _program("mariadb-dump", "mysqldump")
        options = [] if _is_mariadbs(program) else ["--set-gtid-purged=OFF"]
        with subprocess.Popen(  # noqa: S603 (the database's own client)
            [program, *DUMP_OPTIONS, *options, *_where()],
            env=_with_password(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as dump:
            with gzip.open(target, "wb", LEVEL) as file:
                shutil.copyfileobj(cast(BinaryIO, dump.stdout), file, CHUNK)
            said = cast(BinaryIO, dump.stderr).read()
        _must_succeed(program, dump.returncode, said)

    def check(self, file: Path) -> None:
        end = b""
        for chunk in _unpacked(file):
            end = (end + chunk)[-200:]
        if DUMP_ENDS_WITH not in end:
            raise BackupFailed(f"{file} is no whole dump: it does not end with “{DUMP_ENDS_WITH.decode()}”")

    def read(self, file: Path) -> None:
        program = _program("mariadb", "mysql")
        with subprocess.Popen(  # noqa: S603 (the database's own client)
            [program, "--default-character-set=utf8mb4", *_where()],
            env=_with_password(),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as client:
            with closing(cast(BinaryIO, client.stdin)) as statements:
                try:
                    for chunk in _unpacked(file):
                        statements.write(chunk)
                except BrokenPipeError:
                    pass  # it says why
            said = cast(BinaryIO, client.stderr).read()
        _must_succeed(program, client.returncode, said)


class Sqlite(Database):
    suffix = ".sqlite3.gz"

    def write(self, target: Path) -> None:
        copy = target.with_name(target.name + ".sqlite3")
        try:
            with open(copy, "xb", opener=_private):
                pass
            source = f"{self._path.as_uri()}?mode=ro"
            with closing(sqlite3.connect(source, uri=True)) as here, closing(sqlite3.connect(copy)) as there:
                here.backup(there)
            with copy.open("rb") as plain, gzip.open(target, "wb", LEVEL) as file:
                shutil.copyfileobj(plain, file, CHUNK)
        except sqlite3.Error as error:
            raise BackupFailed(f"{self._path}: {error}") from error
        finally:
            copy.unlink(missing_ok=True)

    def check(self, file: Path) -> None:
        copy = file.with_name(file.name + ".check")
        try:
            self._unpack(file, copy)
        finally:
            copy.unlink(missing_ok=True)

    def read(self, file: Path) -> None:
        part = self._path.with_name(self._path.name + ".part")
        try:
            self._unpack(file, part)
            for leftover in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + leftover).unlink(missing_ok=True)
            part.rename(self._path)
        finally:
            part.unlink(missing_ok=True)

    def _unpack(self, file: Path, target: Path) -> None:
        with open(target, "xb", opener=_private) as plain:
            plain.writelines(_unpacked(file))
        try:
            with closing(sqlite3.connect(target)) as there:
                found = there.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.Error as error:
            found = str(error)
        if found != "ok":
            raise BackupFailed(f"{file} is damaged: {found}")

    @property
    def _path(self) -> Path:
        return Path(connection.settings_dict["NAME"]).resolve()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # it holds all tenants' data


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _unpacked(file: Path) -> Iterator[bytes]:
    try:
        with gzip.open(file, "rb") as packed:
            while chunk := packed.read(CHUNK):
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BackupFailed(f"{file} is damaged: {error}") from error


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise BackupFailed(f"There is no {' or '.join(names)} here. Debian: apt-get install mariadb-client")


def _is_mariadbs(program: str) -> bool:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return "MariaDB" in said.stdout


def _where() -> list[str]:
    """As Django connects: options of the client programs, then the database."""
    settings: dict[str, Any] = connection.settings_dict
    host, port = str(settings["HOST"]), settings["PORT"]
    place = [f"--socket={host}"] if host.startswith("/") else [f"--host={host}", *([f"--port={port}"] if port else [])]
    return [*place, f"--user={settings['USER']}", settings["NAME"]]


def _with_password() -> dict[str, str]:
    """Neither on the command line, which everybody sees, nor in a file."""
    return os.environ | {"MYSQL_PWD": str(connection.settings_dict["PASSWORD"])}


def _must_succeed(program: str, code: int, said: bytes) -> None:
    if code:
        raise BackupFailed(f"{Path(program).name} failed ({code}): {said.decode(errors='replace').strip()[-500:]}")
