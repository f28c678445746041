"""All settings in one place; every difference between deployments is an environment variable.

Variables may also stand in a `.env` file beside manage.py; the process environment wins. Names of the old
server keep working. `docs/configuration.md` explains each.
"""

import logging
import sys
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from spotopt import __version__

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()  # NAME_FILE=/run/secrets/x is read where NAME is not set
environ.Env.read_env(BASE_DIR / ".env")

# --- Which kind of deployment -----------------------------------------------------------------------------------
ENVIRONMENT = env.str("ENVIRONMENT", default=env.str("FLASK_ENV", default="production"))
DEBUG = env.bool("DEBUG", default=env.bool("FLASK_DEBUG", default=False))
TESTING = "pytest" in sys.modules
VERSION = __version__

HOST = env.str("FLASK_HOST", default=env.str("HOST", default="0.0.0.0"))  # noqa: S104 (agents connect from outside)
PORT = env.int("FLASK_PORT", default=env.int("PORT", default=5000))
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"])

# --- Secrets: refused when missing or weak, unless this is a debug or test run ------------------------------------
_DEVELOPMENT_ONLY = "development-only-secret-never-used-outside-debug-and-tests-0000000000"
_INSECURE_OK = DEBUG or TESTING
MIN_SECRET_LENGTH = 32


def _secret(name: str, *, minimum: int = MIN_SECRET_LENGTH) -> str:
    value = env.str(name, default="")
    if not value and _INSECURE_OK:
        return f"{name.lower()}-{_DEVELOPMENT_ONLY}"
    if len(value) < minimum and not _INSECURE_OK:
        raise ImproperlyConfigured(
            f"{name} is {'too short' if value else 'not set'}: it needs at least {minimum} random characters. "
            f'Make one with: python -c "import secrets; print(secrets.token_hex(32))"'
        )
    return value


def _keys(name: str, derived: str) -> list[str]:
    """An empty variable is one that is not set: without any key no client could be created."""
    given: list[str] = env.list(name, default=[])
    return given or [derived]


SECRET_KEY = _secret("SECRET_KEY")
ADMIN_TOKEN = _secret("ADMIN_TOKEN")
# Newest first. A token's keyed hash and its encrypted copy are made with the first entry; the others are still
# accepted until `manage.py rotate_keys` has rewritten every token.
TOKEN_PEPPERS = _keys("TOKEN_PEPPERS", f"pepper:{SECRET_KEY}")
TOKEN_ENCRYPTION_KEYS = _keys("TOKEN_ENCRYPTION_KEYS", f"encryption:{SECRET_KEY}")

# --- Applications -----------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "spotopt.console.apps.ConsoleConfig",  # django.contrib.admin with a first page of our own
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "spotopt",
    "clients",
    "notifications",
    "agents",
    "instances",
    "decisions",
    "analytics",
]
MIDDLEWARE = [
    "spotopt.common.middleware.RequestLogMiddleware",
    "agents.middleware.RememberAnswers",
    "spotopt.common.middleware.JsonErrorMiddleware",
    "spotopt.common.overload.OverloadMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "clients.throttling.RateLimitMiddleware",
    "clients.idempotency.IdempotencyMiddleware",
]
ROOT_URLCONF = "spotopt.urls"
WSGI_APPLICATION = "spotopt.wsgi.application"
ASGI_APPLICATION = "spotopt.asgi.application"
APPEND_SLASH = False  # agents follow a redirected POST with a GET and lose the body (agent-api 1.2)
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database: MySQL/MariaDB with DB_HOST, SQLite without -----------------------------------------------------------
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DB_HOST = env.str("DB_HOST", default="")
if DB_HOST:
    DATABASES = {
        "default": {
            "ENGINE": "spotopt.common.mysql",
            "HOST": DB_HOST,
            "PORT": env.str("DB_PORT", default="3306"),
            "USER": env.str("DB_USER", default="spotopt"),
            "PASSWORD": env.str("DB_PASSWORD", default=""),
            "NAME": env.str("DB_DATABASE", default=env.str("DB_NAME", default="spot_optimizer")),
            # DB_POOL_SIZE of the old server has no counterpart: each thread keeps its own connection.
            "CONN_MAX_AGE": env.int("DB_CONN_MAX_AGE", default=300),
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {
                "charset": "utf8mb4",
                "isolation_level": "read committed",
                "connect_timeout": 5,
                "read_timeout": 30,
                "init_command": (
                    "SET sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', time_zone='+00:00', "
                    "innodb_lock_wait_timeout=5"
                ),
            },
            "TEST": {"CHARSET": "utf8mb4"},
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": env.str("SQLITE_PATH", default=str(BASE_DIR / "spotopt.sqlite3")),
            "CONN_MAX_AGE": env.int("DB_CONN_MAX_AGE", default=300),
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
            },
        }
    }

# --- Time and text ------------------------------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
LANGUAGE_CODE = "en-us"
# Only for simulations: a file of one little-endian double, the simulated Unix time, shared by all processes.
SIMULATED_CLOCK_FILE = env.str("SIMULATED_CLOCK_FILE", default="")

# --- REST framework -----------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "clients.authentication.BearerAuthentication",
        "clients.authentication.StaffSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["clients.permissions.IsOperator"],  # views open up on purpose, never by default
    "DEFAULT_THROTTLE_CLASSES": ["clients.throttling.PeopleThrottle", "clients.idempotency.RequestIdGate"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["spotopt.common.parsers.JsonObjectParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "spotopt.common.handlers.exception_handler",
    "COERCE_DECIMAL_TO_STRING": False,
    "UNAUTHENTICATED_USER": None,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "DEFAULT_SCHEMA_CLASS": "spotopt.common.schema.ApiSchema",
    "DEFAULT_METADATA_CLASS": None,  # /api/schema tells more than OPTIONS would; preflights are answered before
    "URL_FORMAT_OVERRIDE": None,  # `?format=…` is an ordinary, unknown parameter
}
SPECTACULAR_SETTINGS = {
    "TITLE": "AWS Spot Optimizer API",
    "DESCRIPTION": "Keeps EC2 workloads on spot capacity. Times are UTC, prices USD per instance-hour.",
    "VERSION": VERSION,
    "SCHEMA_PATH_PREFIX": "/api",
    "POSTPROCESSING_HOOKS": [
        "spotopt.common.schema.add_common_parts",
        "clients.schema.add_security_schemes",
    ],
    "PATH_CONVERTER_OVERRIDES": {"client": str},
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",  # the pages work without the internet
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "GENERIC_ADDITIONAL_PROPERTIES": "dict",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}
DATA_UPLOAD_MAX_MEMORY_SIZE = env.int("MAX_BODY_BYTES", default=10 * 1024 * 1024)  # v5 inventories reach 5 MiB
MAX_UPLOAD_BYTES = env.int("MAX_UPLOAD_BYTES", default=100 * 1024 * 1024)  # operators' models and engines

# --- Browser security ---------------------------------------------------------------------------------------------
CORS_ALLOWED_ORIGINS = [o for o in env.list("CORS_ORIGINS", default=[]) if o != "*"]
CORS_ALLOW_ALL_ORIGINS = "*" in env.list("CORS_ORIGINS", default=[])
CORS_ALLOW_METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
CORS_ALLOW_HEADERS = ["authorization", "content-type", "x-request-id"]
CORS_EXPOSE_HEADERS = ["ratelimit", "ratelimit-policy", "retry-after", "idempotent-replayed"]
CORS_PREFLIGHT_MAX_AGE = 3600
CORS_URLS_REGEX = r"^/(api/.*|health)$"
HTTPS = env.bool("HTTPS", default=False)  # TLS ends at this server's proxy: secure cookies, HSTS, 308 there
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000 if HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_SSL_REDIRECT = False  # Django redirects with 301, which turns an agent's POST into a GET; nginx sends 308
SILENCED_SYSTEM_CHECKS = ["security.W008"]  # the line above
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
# Without TLS browsers ignore this header, and complain about it on every page.
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if HTTPS else None
X_FRAME_OPTIONS = "DENY"
# Proxies whose X-Forwarded-For is believed when the caller's address matters (agent-api 1.8 step 3).
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
# Of people and their scripts, per token or session and web process; agents are never throttled. 0: no limit.
READS_PER_MINUTE = env.int("READS_PER_MINUTE", default=600)
WRITES_PER_MINUTE = env.int("WRITES_PER_MINUTE", default=120)
WRONG_TOKENS_PER_MINUTE = env.int("WRONG_TOKENS_PER_MINUTE", default=30)  # per address, before 401 becomes 429
LOGIN_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

STATIC_URL = "/static/"
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None  # only for a web server that serves them (collectstatic)
WHITENOISE_USE_FINDERS = True  # admin assets are served without a collectstatic step
WHITENOISE_ALLOW_ALL_ORIGINS = False
# A built dashboard: its page for operators at / and /dashboard/, its files at the root (dashboard-api 1.3).
DASHBOARD_DIR = env.str("DASHBOARD_DIR", default="")
WHITENOISE_ROOT = DASHBOARD_DIR or None
WHITENOISE_IMMUTABLE_FILE_TEST = r"^/assets/.+[-.][\w-]{8,}\.\w+$"  # a hash in the name: cached for ever

# --- What the product does ----------------------------------------------------------------------------------------
AGENT_HEARTBEAT_TIMEOUT = env.int("AGENT_HEARTBEAT_TIMEOUT", default=120)  # seconds of silence until offline
AGENT_BUSY_TIMEOUT = env.int("AGENT_BUSY_TIMEOUT", default=420)  # the same while a v5 agent executes (agent-api 2.1)
AGENT_MEMORY = env.bool("AGENT_MEMORY", default=not TESTING)  # agents at rest are answered from memory
DEFAULT_TERMINATE_WAIT_SECONDS = env.int("DEFAULT_TERMINATE_WAIT_SECONDS", default=300)
COMMAND_REDELIVERY_SECONDS = env.int("COMMAND_REDELIVERY_SECONDS", default=20)  # agent-api 3.5
COMMAND_PENDING_TTL = env.int("COMMAND_PENDING_TTL", default=3600)  # an order nobody fetched is dropped after this
SWITCH_REPORT_GRACE = env.int("SWITCH_REPORT_GRACE", default=900)  # on top of the terminate wait (agent-api 3.5)
PRICE_MAX_AGE = env.int("PRICE_MAX_AGE", default=1800)  # decisions refuse older quotes
PRICE_RETENTION_DAYS = env.int("PRICE_RETENTION_DAYS", default=90)
EVENT_RETENTION_DAYS = env.int("EVENT_RETENTION_DAYS", default=90)
NOTIFICATION_RETENTION_DAYS = env.int("NOTIFICATION_RETENTION_DAYS", default=30)
COMMAND_RETENTION_DAYS = env.int("COMMAND_RETENTION_DAYS", default=7)
ENABLE_BACKGROUND_JOBS = env.bool("ENABLE_BACKGROUND_JOBS", default=True)  # false: `run_jobs` says so and ends
# Event streams open in one process: threads (gunicorn), where each holds one; tasks (the ASGI unit), where few do harm.
EVENT_STREAM_THREADS = env.int("EVENT_STREAM_THREADS", default=4)
EVENT_STREAM_TASKS = env.int("EVENT_STREAM_TASKS", default=1000)
# --- Notifications outside of the dashboard (docs/notifications.md) ---
WEBHOOK_ALLOW_PRIVATE = env.bool("WEBHOOK_ALLOW_PRIVATE", default=False)
EMAIL_HOST = env.str("EMAIL_HOST", default="")  # empty: no e-mail
EMAIL_PORT = env.int("EMAIL_PORT", default=587)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_SSL = env.bool("EMAIL_USE_SSL", default=False)  # TLS from the first byte, usually on port 465
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=not EMAIL_USE_SSL)  # STARTTLS
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="spotopt@localhost")
MODEL_DIR = env.str("MODEL_DIR", default=str(BASE_DIR / "models"))
DECISION_ENGINE_DIR = env.str("DECISION_ENGINE_DIR", default=str(BASE_DIR / "engines"))
ALLOW_ENGINE_UPLOADS = env.bool("ALLOW_ENGINE_UPLOADS", default=False)
ALLOW_PICKLE_MODELS = env.bool("ALLOW_PICKLE_MODELS", default=False)
MODEL_BACKTEST_DAYS = env.int("MODEL_BACKTEST_DAYS", default=30)
MODEL_BACKTEST_SECONDS = env.int("MODEL_BACKTEST_SECONDS", default=20)  # proxies wait 60 for the whole activation
MODEL_BACKTEST_MARGIN = env.float("MODEL_BACKTEST_MARGIN", default=0.5)  # points of J, percent of the on-demand bill

# --- Monitoring (docs/monitoring.md): with neither of these only this machine may read /metrics ---------------------
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
METRICS_NETWORKS = env.list("METRICS_NETWORKS", default=[])

# --- Logs: one JSON line per record ---------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
LOG_DIR = env.str("LOG_DIR", default="")
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise ImproperlyConfigured(f"LOG_LEVEL={LOG_LEVEL!r} is not a level; use DEBUG, INFO, WARNING or ERROR.")
_HANDLERS: dict[str, dict[str, object]] = {
    "stderr": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["context"]},
}
if LOG_DIR:
    Path(LOG_DIR).mkdir(parents=True, exist_ok=True)
    _HANDLERS["file"] = {
        "class": "logging.handlers.WatchedFileHandler",  # logrotate moves the file away; this one reopens it
        "filename": str(Path(LOG_DIR) / "spotopt.log"),
        "formatter": "json",
        "filters": ["context"],
    }
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"context": {"()": "spotopt.common.logs.ContextFilter"}},
    "formatters": {
        "json": {
            "()": "spotopt.common.logs.RedactingJsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s %(client)s %(agent)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        }
    },
    "handlers": _HANDLERS,
    "root": {"handlers": list(_HANDLERS), "level": LOG_LEVEL},
    # The request log below says the same once, with the ids; Django's own line per 4xx would double it.
    "loggers": {"django.request": {"level": "ERROR"}, "django.server": {"level": "ERROR"}},
}
