"""What the database itself says, past the server."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from spotopt.simulator.server import database_connection


class Database:
    """On the server that DB_HOST names, or on the one whose `socket` is given, as its root."""

    def __init__(self, name: str, *, socket: str = "") -> None:
        self.name, self.socket = name, socket

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with _cursor(self.name, self.socket) as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def counts(self) -> dict[str, int]:
        return {table: self.rows(f"SELECT COUNT(*) FROM `{table}`")[0][0] for table in self._tables()}  # noqa: S608

    def digests(self) -> dict[str, str]:
        """Of all rows. (CHECKSUM TABLE tells the same rows apart where a column is generated.)"""
        return {table: self._digest(table) for table in self._tables()}

    def _digest(self, table: str) -> str:
        digest = hashlib.sha256()
        for row in self.rows(f"SELECT * FROM `{table}` ORDER BY 1"):  # noqa: S608
            digest.update(repr(row).encode())
        return digest.hexdigest()

    def version(self) -> str:
        return str(self.rows("SELECT VERSION()")[0][0])

    def _tables(self) -> list[str]:
        return sorted(row[0] for row in self.rows("SHOW TABLES"))


def create(name: str) -> Database:
    with _cursor("") as cursor:
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    return Database(name)


def different(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


@contextmanager
def _cursor(database: str, socket: str = "") -> Iterator[Any]:
    connection = _as_root(database, socket) if socket else database_connection(database)
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _as_root(database: str, socket: str) -> Any:
    import MySQLdb  # type: ignore[import-untyped]  # only where MariaDB or MySQL is used

    patience = {"connect_timeout": 5, "read_timeout": 60}
    return MySQLdb.connect(unix_socket=socket, user="root", database=database, autocommit=True, **patience)
