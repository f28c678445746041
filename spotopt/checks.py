"""System checks: settings that would hurt in production are named before the first request."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import Error, connections

from spotopt.common.addresses import is_network

Messages = list[checks.CheckMessage]
MIN_MYSQL, MIN_MARIADB = (8, 0, 11), (10, 6)


@checks.register(checks.Tags.security, deploy=True)
def secrets_are_strong(app_configs: Any, **kwargs: Any) -> Messages:
    named = {name: getattr(settings, name) for name in ("SECRET_KEY", "ADMIN_TOKEN", "METRICS_TOKEN")}
    return [
        checks.Warning(f"{name} has too few different characters.", hint="Make a random one.", id="spotopt.W001")
        for name, value in named.items()
        if value and len(set(value)) < 10
    ]


@checks.register(checks.Tags.security, deploy=True)
def token_keys_are_strong(app_configs: Any, **kwargs: Any) -> Messages:
    """Old ones too: they open what was written with them until `rotate_keys` has been run."""
    named = {name: getattr(settings, name) for name in ("TOKEN_PEPPERS", "TOKEN_ENCRYPTION_KEYS")}
    hint = "Make another one in front of it and run rotate_keys."
    return [
        checks.Warning(f"A key in {name} is short or has too few different characters.", hint=hint, id="spotopt.W006")
        for name, keys in named.items()
        if any(len(key) < settings.MIN_SECRET_LENGTH or len(set(key)) < 10 for key in keys)
    ]


@checks.register(checks.Tags.security, deploy=True)
def secrets_are_different(app_configs: Any, **kwargs: Any) -> Messages:
    given = [settings.SECRET_KEY, settings.ADMIN_TOKEN, settings.METRICS_TOKEN]
    given += [*settings.TOKEN_PEPPERS, *settings.TOKEN_ENCRYPTION_KEYS]
    filled = [secret for secret in given if secret]
    if len(set(filled)) == len(filled):
        return []
    hint = "Whoever learns one of them must not have learned another. Make one for each."
    return [checks.Warning("One secret is used for two purposes.", hint=hint, id="spotopt.W007")]


@checks.register(checks.Tags.security, deploy=True)
def calls_are_encrypted(app_configs: Any, **kwargs: Any) -> Messages:
    """TLS ends at a proxy; without one tokens travel in the clear, and with one its address has to be known."""
    if not settings.HTTPS:
        hint = "Put a proxy with TLS in front (deploy/nginx.conf) and set HTTPS=true."
        return [checks.Warning("HTTPS is off: tokens travel in the clear.", hint=hint, id="spotopt.W008")]
    if settings.TRUSTED_PROXIES:
        return []
    hint = (
        "Name the proxy's address: without it all callers share one, and are blocked together when one guesses tokens."
    )
    return [checks.Warning("HTTPS is on, but TRUSTED_PROXIES is empty.", hint=hint, id="spotopt.W009")]


@checks.register(checks.Tags.security, deploy=True)
def database_is_fit(app_configs: Any, **kwargs: Any) -> Messages:
    """`check --deploy` asks the database, too, which plain `check` leaves to `--database default`."""
    try:
        connections["default"].ensure_connection()
        return database_is_supported(app_configs, ["default"])
    except Error as error:
        text = f"The database could not be asked for its version: {type(error).__name__}."
        return [checks.Warning(text, hint="Check again when it runs.", id="spotopt.W010")]


@checks.register(checks.Tags.security)
def metrics_networks_are_networks(app_configs: Any, **kwargs: Any) -> Messages:
    hint = "METRICS_NETWORKS takes addresses and networks, for example 10.0.0.0/8; until then it lets nobody in."
    return [
        checks.Error(f"METRICS_NETWORKS: {network!r} is no network.", hint=hint, id="spotopt.E004")
        for network in settings.METRICS_NETWORKS
        if not is_network(network)
    ]


@checks.register(checks.Tags.security, deploy=True)
def token_keys_are_their_own(app_configs: Any, **kwargs: Any) -> Messages:
    key = settings.SECRET_KEY
    derived = f"pepper:{key}" in settings.TOKEN_PEPPERS or f"encryption:{key}" in settings.TOKEN_ENCRYPTION_KEYS
    hint = "Set TOKEN_PEPPERS and TOKEN_ENCRYPTION_KEYS, or changing SECRET_KEY locks every agent out."
    return [checks.Warning("Token keys are derived from SECRET_KEY.", hint=hint, id="spotopt.W002")] if derived else []


@checks.register(checks.Tags.security, deploy=True)
def cors_is_a_list(app_configs: Any, **kwargs: Any) -> Messages:
    if not settings.CORS_ALLOW_ALL_ORIGINS:
        return []
    hint = "Name the dashboard's origins in CORS_ORIGINS, or serve it from this server's own origin."
    return [checks.Warning("CORS_ORIGINS allows every web page to call the API.", hint=hint, id="spotopt.W003")]


@checks.register(checks.Tags.security, deploy=True)
def clock_is_real(app_configs: Any, **kwargs: Any) -> Messages:
    if not settings.SIMULATED_CLOCK_FILE:
        return []
    return [checks.Error("SIMULATED_CLOCK_FILE is set: time is not real.", id="spotopt.E001")]


@checks.register(checks.Tags.security, deploy=True)
def hosts_are_named(app_configs: Any, **kwargs: Any) -> Messages:
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    hint = "Set ALLOWED_HOSTS to the names and addresses agents and people use."
    return [checks.Warning("ALLOWED_HOSTS accepts any Host header.", hint=hint, id="spotopt.W004")]


@checks.register(checks.Tags.files)
def dashboard_is_there(app_configs: Any, **kwargs: Any) -> Messages:
    if not settings.DASHBOARD_DIR or Path(settings.DASHBOARD_DIR, "index.html").is_file():
        return []
    hint = "Name the directory that the dashboard's build made; until then operators see the server's own overview."
    return [checks.Warning("DASHBOARD_DIR holds no index.html.", hint=hint, id="spotopt.W005")]


@checks.register(checks.Tags.database)
def database_is_supported(app_configs: Any, databases: Any = None, **kwargs: Any) -> Messages:
    found: Messages = []
    for alias in databases or []:
        connection: Any = connections[alias]  # the typed base class knows nothing of one vendor's attributes
        if connection.vendor != "mysql":
            continue
        minimum = MIN_MARIADB if connection.mysql_is_mariadb else MIN_MYSQL
        if connection.mysql_version < minimum:
            name = "MariaDB" if connection.mysql_is_mariadb else "MySQL"
            needed = ".".join(map(str, minimum))
            found.append(checks.Error(f"{name} {needed} or newer is needed.", id="spotopt.E002"))
        if _session_time_zone(connection) != "+00:00":
            found.append(checks.Error("The database session is not in UTC.", id="spotopt.E003"))
    return found


def _session_time_zone(connection: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@session.time_zone")
        return str(cursor.fetchone()[0])
