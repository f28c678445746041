from contextlib import suppress
from typing import Any

import MySQLdb  # type: ignore[import-untyped]
from django.db import Error
from django.db.backends.mysql import base


class CursorWrapper(base.CursorWrapper):
    def close(self) -> None:
        """After a failed statement Django closes the cursor, which may fail as well, and would hide the first error."""
        with suppress(MySQLdb.Error):
            self.cursor.close()


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that is lost while a transaction begins or has just ended is dropped.

    Django keeps it with autocommit off, takes the next transaction for one inside another, and when its SAVEPOINT
    fails, opens no connection for this thread ever again ("Cannot open a new connection in an atomic block").
    """

    def create_cursor(self, name: Any = None) -> CursorWrapper:
        return CursorWrapper(self.connection.cursor())

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        try:
            super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        except Error:
            self.close()
            raise
