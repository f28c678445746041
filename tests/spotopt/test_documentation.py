"""The documents say what the code does."""

import ast
import re
from importlib.util import find_spec

import pytest
from django.conf import settings
from django.core.management import get_commands

from spotopt.management.commands.run_jobs import JOBS, load_job

ROOT = settings.BASE_DIR
SOURCES = ["spotopt/settings.py", "deploy/gunicorn.conf.py"]
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
DOCUMENTED = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", CONFIGURATION, re.MULTILINE))


def variables():
    """{name: its default, where that is a plain value} of every environment variable the server reads."""
    found = {}
    for source in SOURCES:
        for node in ast.walk(ast.parse((ROOT / source).read_text())):
            if isinstance(node, ast.Call) and is_reading(node.func) and isinstance(node.args[0], ast.Constant):
                defaults = [*node.args[1:], *(k.value for k in node.keywords if k.arg == "default")]
                found[node.args[0].value] = plain(defaults[0]) if defaults else None
    return {name: default for name, default in found.items() if name != "DJANGO_SETTINGS_MODULE"}


def is_reading(function):
    if isinstance(function, ast.Name):
        return function.id in ("_secret", "_keys")
    owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
    return owner == "env" or (owner == "os.environ" and function.attr == "get")


def plain(node):
    """As the document writes it; None for what is computed."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    if isinstance(value, list):
        value = ",".join(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else "empty"


def test_every_variable_is_documented_and_nothing_else():
    aliases = set(re.findall(r"also read from `([A-Z_]+)`", CONFIGURATION, re.IGNORECASE))
    assert set(DOCUMENTED) | aliases == set(variables())


@pytest.mark.parametrize(("name", "default"), [item for item in variables().items() if item[1]])
def test_a_documented_default_is_the_real_one(name, default):
    if name in DOCUMENTED:
        assert DOCUMENTED[name] == default


def test_the_example_names_only_variables_there_are():
    named = set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named <= set(DOCUMENTED)
    assert {"SECRET_KEY", "ADMIN_TOKEN", "TOKEN_PEPPERS", "TOKEN_ENCRYPTION_KEYS", "DB_HOST"} <= named


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "docs/operations.md",
        "docs/architecture.md",
        "docs/configuration.md",
        "docs/notifications.md",
        "docs/dashboard.md",
        "docs/api.md",
        "docs/console.md",
        "docs/migration.md",
        "docs/monitoring.md",
        "docs/models.md",
        "docs/security.md",
        "docs/scaling.md",
    ],
)
def test_commands_and_files_that_a_document_names_exist(document):
    text = (ROOT / document).read_text()
    commands = set(re.findall(r"manage(?:\.py)? ([a-z_]+)\b", text))
    assert commands <= set(get_commands())
    links = re.findall(r"\]\((?!http)([^)#]+)", text)
    files = [link for link in links if not (ROOT / document).parent.joinpath(link).exists()]
    assert files == []


@pytest.mark.parametrize("name", JOBS)
def test_each_job_stands_in_the_operations_guide_with_its_interval(name):
    seconds = load_job(name).interval_seconds
    interval = "1 h" if seconds == 3600 else f"{seconds} s"
    assert f"| `manage {name}` | {interval} |" in (ROOT / "docs/operations.md").read_text()


def test_nginx_passes_calls_to_where_systemd_listens():
    (listening,) = re.findall(r"^ListenStream=(.+)$", deployed("spotopt-web.socket"), re.MULTILINE)
    assert f"server {listening};" in deployed("nginx.conf")


def test_nginx_lets_through_what_the_server_accepts():
    others, uploads = re.findall(r"client_max_body_size (\d+)m;", deployed("nginx.conf"))
    assert int(others) * 1024**2 >= settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert int(uploads) * 1024**2 >= settings.MAX_UPLOAD_BYTES


@pytest.mark.parametrize("name", ["nginx.conf", "nginx-dashboard.conf"])
def test_nginx_keeps_no_connection_that_a_restarting_worker_may_close(name):
    upstreams = re.findall(r"^upstream \w+ \{(.*?)^\}", deployed(name), re.MULTILINE | re.DOTALL)
    assert not any(re.search(r"^\s*keepalive\b", upstream, re.MULTILINE) for upstream in upstreams)
    assert "proxy_set_header Connection" not in deployed(name)  # nginx's own is `close`


@pytest.mark.parametrize("unit", sorted(path.name for path in (ROOT / "deploy").glob("spotopt-*.service")))
def test_a_unit_starts_what_there_is(unit):
    (command,) = re.findall(r"^ExecStart=/opt/spotopt/.venv/bin/(.+)$", deployed(unit), re.MULTILINE)
    program, *arguments = command.split()
    files = [a for a in arguments if ("/" in a or a.endswith(".py")) and not a.startswith("/")]
    assert program in ("gunicorn", "python")
    assert all((ROOT / file).is_file() for file in files)
    assert arguments[1] in get_commands() if program == "python" else find_spec(arguments[-1])


def deployed(name):
    return (ROOT / "deploy" / name).read_text()


def test_the_changelog_starts_with_this_version():
    versions = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == settings.VERSION
