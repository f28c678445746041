"""A dashboard bundle in DASHBOARD_DIR: its page for operators, its files at the root (dashboard-api 1.3)."""

from functools import partial

import pytest
from django.core import checks
from django.test import Client

pytestmark = pytest.mark.django_db

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
PAGE = b'<!DOCTYPE html><script type="module" src="/assets/index-BhK3f2x9.js"></script>'


@pytest.fixture
def bundle(settings, tmp_path):
    directory = tmp_path / "dist"
    (directory / "assets").mkdir(parents=True)
    (directory / "index.html").write_bytes(PAGE)
    (directory / "assets/index-BhK3f2x9.js").write_text("console.log(1)")
    (directory / "assets/index-D8f_a-1Z.css").write_text("body {}")
    (directory / "assets/logo.svg").write_text("<svg/>")
    (directory / "robots.txt").write_text("User-agent: *")
    (tmp_path / "secret.txt").write_text("nobody's business")
    settings.DASHBOARD_DIR = settings.WHITENOISE_ROOT = str(directory)
    return directory


@pytest.fixture(params=["scanned at the start", "looked up each time"])
def anybody(bundle, settings, request):
    """Fetches an address. WhiteNoise reads its settings when a server starts, which is a client's first call here."""
    settings.WHITENOISE_AUTOREFRESH = request.param == "looked up each time"
    return partial(fetch, Client())


def fetch(client, path):
    """Answer and body; what is left open would be a warning in some later test."""
    answer = client.get(path)
    body = answer.getvalue()
    answer.close()
    return answer, body


@pytest.fixture
def operator(bundle, staff):
    client = Client()
    client.force_login(staff)
    return client


@pytest.mark.parametrize("path", ["/", "/dashboard/"])
def test_an_operators_browser_gets_the_page(operator, path):
    answer = operator.get(path, HTTP_ACCEPT=HTML)
    assert (answer.status_code, answer.content) == (200, PAGE)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "no-cache" in answer.headers["Cache-Control"]  # an old page names assets that are gone
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/dashboard/"])
def test_anybody_else_gets_the_login_first(bundle, path):
    answer = Client().get(path, HTTP_ACCEPT=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/login?next={path}")


def test_programs_get_json_at_the_root_and_caches_know(operator):
    answer = operator.get("/", HTTP_ACCEPT="*/*")
    assert answer.json()["data"]["status"] == "running"
    assert "Accept" in answer.headers["Vary"]
    assert "Accept" in operator.get("/", HTTP_ACCEPT=HTML).headers["Vary"]


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/assets/index-BhK3f2x9.js", "text/javascript"),
        ("/assets/index-D8f_a-1Z.css", "text/css"),
        ("/assets/logo.svg", "image/svg+xml"),
        ("/robots.txt", "text/plain"),
    ],
)
def test_its_files_lie_at_the_root_with_their_types(anybody, path, content_type):
    answer, _ = anybody(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == content_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_only_files_with_a_hash_in_their_name_are_kept_for_ever(anybody):
    hashed = [anybody(path)[0] for path in ("/assets/index-BhK3f2x9.js", "/assets/index-D8f_a-1Z.css")]
    assert all("immutable" in answer.headers["Cache-Control"] for answer in hashed)
    named = [anybody(path)[0] for path in ("/assets/logo.svg", "/robots.txt")]
    assert not any("immutable" in answer.headers["Cache-Control"] for answer in named)


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/..\\secret.txt",
    ],
)
def test_nothing_beside_the_bundle_is_reachable(anybody, path):
    answer, body = anybody(path)
    assert answer.status_code == 404
    assert b"business" not in body


def test_a_missing_asset_is_a_404_and_never_the_page(operator):
    answer = operator.get("/assets/index-gone0000.js", HTTP_ACCEPT=HTML)
    assert answer.status_code == 404
    assert PAGE not in answer.content


def test_the_icon_that_bundles_forget_is_there(anybody):
    for path in ("/vite.svg", "/favicon.ico"):
        answer, _ = anybody(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/svg+xml")


def test_a_bundles_own_icon_wins(bundle):
    (bundle / "vite.svg").write_text("<svg>its own</svg>")
    assert b"its own" in fetch(Client(), "/vite.svg")[1]


def test_while_the_bundle_is_away_operators_see_the_overview(operator, bundle):
    (bundle / "index.html").unlink()
    answer = operator.get("/dashboard/", HTTP_ACCEPT=HTML)
    assert answer.status_code == 200
    assert b"Agents online" in answer.content


def test_a_directory_without_a_page_is_named_by_check(bundle):
    assert checks.run_checks(tags=[checks.Tags.files]) == []
    (bundle / "index.html").unlink()
    assert [message.id for message in checks.run_checks(tags=[checks.Tags.files])] == ["spotopt.W005"]


def test_without_a_bundle_a_browser_at_the_root_sees_the_overview(client, staff):
    client.force_login(staff)
    assert b"Agents online" in client.get("/", HTTP_ACCEPT=HTML).content
    assert b"Agents online" in client.get("/dashboard", follow=True).content
