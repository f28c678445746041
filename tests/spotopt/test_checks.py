"""Settings that would hurt in production are named by `manage.py check`; missing secrets stop the start."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings
from django.core import checks
from django.db import OperationalError, connection

from clients.models import Client
from tests.factories import ClientFactory

GOOD = {
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-secret",
    "ADMIN_TOKEN": "0123456789abcdefghijklmnopqrstuvwxyz-admin",
    "TOKEN_PEPPERS": ["0123456789abcdefghijklmnopqrstuvwxyz-pepper"],
    "TOKEN_ENCRYPTION_KEYS": ["0123456789abcdefghijklmnopqrstuvwxyz-key"],
    "ALLOWED_HOSTS": ["spot.example.com"],
    "HTTPS": True,
    "TRUSTED_PROXIES": ["127.0.0.1"],
}

pytestmark = pytest.mark.django_db  # `check --deploy` asks the database


def found(settings, **changed):
    for name, value in (GOOD | changed).items():
        setattr(settings, name, value)
    messages = checks.run_checks(include_deployment_checks=True, tags=[checks.Tags.security])
    return {message.id for message in messages if message.id.startswith("spotopt")}


def test_good_settings_pass(settings):
    assert found(settings) == set()


@pytest.mark.parametrize(
    ("changed", "id"),
    [
        ({"SECRET_KEY": "a" * 40}, "spotopt.W001"),
        ({"ADMIN_TOKEN": "changeme" * 5}, "spotopt.W001"),
        ({"TOKEN_PEPPERS": [f"pepper:{GOOD['SECRET_KEY']}"]}, "spotopt.W002"),
        ({"TOKEN_ENCRYPTION_KEYS": [f"encryption:{GOOD['SECRET_KEY']}"]}, "spotopt.W002"),
        ({"CORS_ALLOW_ALL_ORIGINS": True}, "spotopt.W003"),
        ({"ALLOWED_HOSTS": ["*"]}, "spotopt.W004"),
        ({"SIMULATED_CLOCK_FILE": "/tmp/clock"}, "spotopt.E001"),
        ({"TOKEN_PEPPERS": [GOOD["TOKEN_PEPPERS"][0], "short"]}, "spotopt.W006"),
        ({"TOKEN_ENCRYPTION_KEYS": ["ab" * 20]}, "spotopt.W006"),
        ({"ADMIN_TOKEN": GOOD["SECRET_KEY"]}, "spotopt.W007"),
        ({"METRICS_TOKEN": GOOD["ADMIN_TOKEN"]}, "spotopt.W007"),
        ({"HTTPS": False}, "spotopt.W008"),
        ({"TRUSTED_PROXIES": []}, "spotopt.W009"),
        ({"METRICS_TOKEN": "changeme" * 5}, "spotopt.W001"),
        ({"METRICS_NETWORKS": ["10.0.0.0/8", "everybody"]}, "spotopt.E004"),
    ],
)
def test_each_danger_is_named(settings, changed, id):
    assert found(settings, **changed) == {id}


def test_debugging_is_named(settings):
    settings.DEBUG = True
    messages = checks.run_checks(include_deployment_checks=True, tags=[checks.Tags.security])
    assert "security.W018" in {message.id for message in messages}


@pytest.mark.parametrize(
    ("is_mariadb", "version", "ids"),
    [
        (True, (10, 5, 29), {"spotopt.E002"}),
        (True, (10, 6), set()),
        (False, (5, 7, 44), {"spotopt.E002"}),
        (False, (8, 4, 3), set()),
    ],
)
def test_an_outdated_database_is_named(settings, monkeypatch, is_mariadb, version, ids):
    server = {"vendor": "mysql", "mysql_is_mariadb": is_mariadb, "mysql_version": version}
    here = SimpleNamespace(ensure_connection=lambda: None, **server)
    monkeypatch.setattr("spotopt.checks.connections", {"default": here})
    monkeypatch.setattr("spotopt.checks._session_time_zone", lambda connection: "+00:00")
    assert found(settings) == ids


def test_a_database_that_is_away_leaves_its_version_unknown(settings, monkeypatch):
    def away():
        raise OperationalError

    monkeypatch.setattr(connection, "ensure_connection", away)
    assert found(settings) == {"spotopt.W010"}


def database_messages():
    return {m.id for m in checks.run_checks(tags=[checks.Tags.database], databases=["default"])}


@pytest.mark.django_db
def test_the_database_of_the_tests_is_supported():
    assert database_messages() == set()


@pytest.mark.django_db
@pytest.mark.parametrize(("setting", "value"), [("TOKEN_PEPPERS", ["another"]), ("TOKEN_ENCRYPTION_KEYS", ["another"])])
def test_keys_that_do_not_fit_the_stored_tokens_are_named(settings, setting, value):
    ClientFactory()
    setattr(settings, setting, value)
    assert database_messages() == {"clients.W001"}


@pytest.mark.django_db
def test_a_client_that_is_being_deleted_has_no_token_to_fit():
    Client.objects.filter(pk=ClientFactory().pk).update(token_encrypted="", is_active=False)
    assert database_messages() == set()


@pytest.mark.mysql
@pytest.mark.django_db
def test_a_session_that_is_not_in_utc_is_an_error():
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+02:00'")
    try:
        assert database_messages() == {"spotopt.E003"}
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")


@pytest.mark.mysql
@pytest.mark.django_db
def test_a_database_that_is_too_old_is_an_error(monkeypatch):
    monkeypatch.setattr("spotopt.checks.MIN_MARIADB", (99, 0))
    monkeypatch.setattr("spotopt.checks.MIN_MYSQL", (99, 0))
    assert database_messages() == {"spotopt.E002"}


def start(**environment):
    """`manage.py check` as on a machine with these variables only. An empty one wins over a .env file."""
    nothing = dict.fromkeys(["SECRET_KEY", "ADMIN_TOKEN", "DB_HOST", "LOG_DIR"], "")
    off = {"DEBUG": "false", "LOG_LEVEL": "INFO", "PATH": os.environ["PATH"]}
    command = [sys.executable, "manage.py", "check"]
    return subprocess.run(
        command, cwd=django_settings.BASE_DIR, env=nothing | off | environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ADMIN_TOKEN"])
@pytest.mark.parametrize(("value", "complaint"), [("", "not set"), ("short", "too short")])
def test_a_missing_or_short_secret_stops_the_start_with_a_clear_text(missing, value, complaint):
    good = {name: GOOD[name] for name in ("SECRET_KEY", "ADMIN_TOKEN")}
    ended = start(**good | {missing: value})
    assert ended.returncode != 0
    assert f"{missing} is {complaint}" in ended.stderr
    assert "secrets.token_hex" in ended.stderr
    assert not value or value not in ended.stderr.replace("too short", "")


def test_an_unknown_log_level_stops_the_start():
    ended = start(DEBUG="true", LOG_LEVEL="LOUD")
    assert ended.returncode != 0
    assert "LOG_LEVEL='LOUD'" in ended.stderr


def test_debugging_needs_no_secrets():
    assert start(DEBUG="true").returncode == 0


def test_secrets_may_come_from_files(tmp_path):
    for name in ("SECRET_KEY", "ADMIN_TOKEN"):
        (tmp_path / name).write_text(GOOD[name])
    names = {f"{name}_FILE": str(tmp_path / name) for name in ("SECRET_KEY", "ADMIN_TOKEN")}
    nothing = {"PATH": os.environ["PATH"], "DEBUG": "false", "DB_HOST": ""}
    command = [sys.executable, "manage.py", "check"]
    ended = subprocess.run(command, cwd=django_settings.BASE_DIR, env=nothing | names, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
