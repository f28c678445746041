"""`backup` and `restore`: whole or not at all, and never over something."""

import gzip
import shutil
import sqlite3
import stat
from contextlib import contextmanager
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from clients.models import Client
from spotopt import backups
from tests.conftest import ON_MYSQL
from tests.factories import ClientFactory

needs_client_programs = pytest.mark.skipif(
    ON_MYSQL and not (shutil.which("mariadb-dump") or shutil.which("mysqldump")), reason="no mariadb-dump here"
)
pytestmark = [needs_client_programs, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """A database with a client; with SQLite one in a file, because the tests' own lives in memory."""
    if ON_MYSQL:
        ClientFactory(name="Gräfin »Ω« 🦔")
        return
    path = tmp_path / "here.sqlite3"
    ClientFactory(name="Gräfin »Ω« 🦔")
    with sqlite3.connect(path) as file:
        connection.connection.backup(file)
    file.close()
    monkeypatch.setitem(connection.settings_dict, "NAME", str(path))


@contextmanager
def empty_database(tmp_path):
    """What `restore` finds as the default database."""
    before = connection.settings_dict["NAME"]
    name = f"{before}_restored" if ON_MYSQL else str(tmp_path / "restored.sqlite3")
    if ON_MYSQL:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    own = connection.connection
    connection.settings_dict["NAME"] = name
    try:
        if ON_MYSQL:
            connection.close()
        else:
            connection.connection = None
        yield
    finally:
        if ON_MYSQL:
            connection.close()
            connection.settings_dict["NAME"] = before
            with connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name}")
        else:
            connection.close()
            connection.connection = own
            connection.settings_dict["NAME"] = before


def backup(directory, *options):
    out = StringIO()
    call_command("backup", directory, *options, stdout=out)
    return out.getvalue()


def test_a_backup_comes_back_into_an_empty_database(filled, tmp_path):
    assert "spotopt-" in backup(tmp_path)
    (file,) = tmp_path.glob("spotopt-*.gz")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with empty_database(tmp_path):
        out = StringIO()
        call_command("restore", file, stdout=out)
        assert "tables. Now: migrate" in out.getvalue()
        assert Client.objects.get().name == "Gräfin »Ω« 🦔"
        call_command("migrate", "--check", verbosity=0)


def test_nothing_is_restored_over_tables(filled, tmp_path):
    backup(tmp_path)
    (file,) = tmp_path.glob("spotopt-*.gz")
    with pytest.raises(CommandError, match="into an empty database only"):
        call_command("restore", file)


def test_a_damaged_backup_is_refused_before_anything_is_changed(filled, tmp_path):
    backup(tmp_path)
    (file,) = tmp_path.glob("spotopt-*.gz")
    file.write_bytes(file.read_bytes()[:-2000])
    with empty_database(tmp_path):
        with pytest.raises(CommandError, match="damaged"):
            call_command("restore", file)
        assert connection.introspection.table_names() == []


def test_a_dump_that_was_cut_short_before_it_was_packed_is_refused(filled, tmp_path):
    file = tmp_path / f"spotopt-x{backups.database().suffix}"
    file.write_bytes(gzip.compress(b"-- MariaDB dump\nCREATE TABLE"))
    with empty_database(tmp_path), pytest.raises(CommandError, match="no whole dump|damaged"):
        call_command("restore", file)


def test_a_failed_backup_leaves_nothing_behind(filled, tmp_path, monkeypatch):
    def fail(self, target):
        target.write_bytes(b"half")
        raise backups.BackupFailed("the database went away")

    monkeypatch.setattr(type(backups.database()), "write", fail)
    with pytest.raises(CommandError, match="went away"):
        backup(tmp_path)
    assert list(tmp_path.glob("spotopt-*")) == []


def test_only_the_newest_are_kept(filled, tmp_path):
    for _ in range(3):
        backup(tmp_path, "--keep=2")
    assert len(list(tmp_path.glob("spotopt-*.gz"))) == 2


def test_another_kind_of_databases_backup_is_refused(filled, tmp_path):
    other = ".sqlite3.gz" if ON_MYSQL else ".sql.gz"
    with pytest.raises(CommandError, match="no backup of this kind"):
        call_command("restore", tmp_path / f"spotopt-x{other}")


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CommandError, match="no directory"):
        backup(tmp_path / "nowhere")
