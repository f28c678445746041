"""The old server's database: read in one consistent snapshot, and never written."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import environ
import MySQLdb  # type: ignore[import-untyped]
from MySQLdb.cursors import SSDictCursor  # type: ignore[import-untyped]

URL, PASSWORD = "LEGACY_DATABASE_URL", "LEGACY_DATABASE_PASSWORD"  # noqa: S105 (names of variables)
FETCHED_AT_ONCE = 1000
_READ_ONLY = (
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION TRANSACTION READ ONLY",
    "SET SESSION net_write_timeout = 3600",  # we write a batch before we read on
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)


class SourceError(Exception):
    """The old database cannot be read; the text is for an operator and holds no password."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False, default="")

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"


def find_address(options: Mapping[str, Any]) -> Address:
    """LEGACY_DATABASE_URL, whose parts `host`, `port`, `user` and `database` override. Raises SourceError.

    The password comes from the URL or LEGACY_DATABASE_PASSWORD (either also as …_FILE), never from an argument, which
    every user of the machine could read.
    """
    env = environ.FileAwareEnv()
    url = urlsplit(env.str(URL, default=""))
    if url.scheme not in ("", "mysql", "mariadb"):
        raise SourceError(f"{URL} must begin with mysql:// or mariadb://")
    try:
        port = url.port
    except ValueError:
        raise SourceError(f"{URL} has no usable port; special characters of a password are written as %XX") from None
    found = Address(
        host=options.get("host") or url.hostname or "",
        port=options.get("port") or port or 3306,
        user=options.get("user") or unquote(url.username or ""),
        database=options.get("database") or unquote(url.path.strip("/")),
        password=env.str(PASSWORD, default="") or unquote(url.password or ""),
    )
    if not (found.host and found.user and found.database):
        raise SourceError(f"Where is the old database? Set {URL}=mysql://user:password@host:3306/database")
    return found


class Source:
    """`with Source(address) as source:`. Statements run one after another: a stream must end before the next begins."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.columns: dict[str, set[str]] = {}

    def __enter__(self) -> Self:
        try:
            self._connection = MySQLdb.connect(
                host=self.address.host,
                port=self.address.port,
                user=self.address.user,
                password=self.address.password,
                database=self.address.database,
                charset="utf8mb4",
                connect_timeout=10,
            )
            with self._connection.cursor() as cursor:
                for statement in _READ_ONLY:
                    cursor.execute(statement)
        except MySQLdb.Error as error:
            raise SourceError(f"Cannot read {self.address}: {error.args[-1]}") from None
        named = (
            "SELECT table_name AS t, column_name AS c FROM information_schema.columns WHERE table_schema = DATABASE()"
        )
        for row in self.query(named):
            self.columns.setdefault(row["t"], set()).add(row["c"])
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()  # the transaction ends with it

    def has(self, table: str) -> bool:
        return table in self.columns

    def query(self, sql: str, args: Iterable[Any] = ()) -> Iterator[dict[str, Any]]:
        """Streamed, so that a table may be larger than the memory."""
        cursor = self._connection.cursor(SSDictCursor)
        try:
            cursor.execute(sql, tuple(args))
            while rows := cursor.fetchmany(FETCHED_AT_ONCE):
                yield from rows
        except MySQLdb.Error as error:
            raise SourceError(f"Reading {self.address} failed: {error.args[-1]}") from None
        finally:
            with suppress(MySQLdb.Error):  # the connection may be gone by now
                cursor.close()

    def rows(
        self, table: str, columns: Iterable[str], *, order: Iterable[str] = (), above: tuple[str, int] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Columns that this installation lacks are None, tables that it lacks are empty. `above`: (column, value)."""
        if not self.has(table):
            return
        there = self.columns[table]
        wanted = list(columns)
        sql = f"SELECT {', '.join(f'`{c}`' for c in wanted if c in there)} FROM `{table}`"  # noqa: S608 (our own names)
        if above and above[0] in there:
            sql += f" WHERE `{above[0]}` > {int(above[1])}"
        if ordered := [f"`{c}`" for c in order if c in there]:
            sql += f" ORDER BY {', '.join(ordered)}"
        nothing = dict.fromkeys(wanted)
        for row in self.query(sql):
            yield nothing | row

    def count(self, table: str) -> int:
        if not self.has(table):
            return 0
        (row,) = self.query(f"SELECT COUNT(*) AS n FROM `{table}`")  # noqa: S608
        return int(row["n"])

    def clock_offset(self) -> str:
        """Difference of the database's clock from UTC; empty where there is none."""
        (row,) = self.query("SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), NOW()) AS minutes")
        return f"{int(row['minutes'])} minutes" if row["minutes"] else ""
