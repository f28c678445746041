"""A dashboard that knows nothing of logins and tokens, served by this server (dashboard-api 1.2, 1.3 option B)."""

import pytest

from tests.browser.conftest import PLAIN_HOST
from tests.browser.steps import log_in

EXPECTED = {
    "shell": "unread, engine true",
    "overview": "30 days",
    "clients": "Web shop",
    "agents": "{agent}",
    "instances": "{instance} 0.0132",
    "activity": "cart moved to spot",
    "health": "",
    "client": "Web shop: 1 switches, 2 months",
    "clientAgents": "{agent} ON",
    "clientInstances": "{instance}",
    "instance": "t3.medium.us-east-1b cheapest of 3",
    "replicas": "1 replicas",
    "models": "cart",
    "drawer": "mail is offline",
}


@pytest.fixture
def dashboard(page, bundle_server):
    log_in(page, bundle_server.url, f"/?client={bundle_server.client}")
    page.wait_for_selector("#screen[data-shown=shell]")
    return page


def test_the_login_stands_before_the_page(page, bundle_server):
    page.goto(bundle_server.url)
    assert page.url == f"{bundle_server.url}/login?next=/"
    assert page.locator("#screens").count() == 0


@pytest.mark.parametrize("screen", EXPECTED)
def test_a_screen_shows_what_is_there(dashboard, bundle_server, screen):
    dashboard.click(f"#{screen}")
    dashboard.wait_for_selector(f"#screen[data-shown={screen}]")
    read = dashboard.text_content("#screen")
    assert EXPECTED[screen].format(**vars(bundle_server)) in read
    assert not read.startswith("failed")


@pytest.mark.parametrize("host", ["localhost", PLAIN_HOST])
def test_its_own_posts_need_no_csrf_token(page, bundle_server, host):
    """On localhost the browser says same-origin; on plain http elsewhere it only names the origin."""
    log_in(page, f"http://{host}:{bundle_server.port}")
    page.wait_for_selector("#screen[data-shown=shell]")
    created = page.evaluate("name => call('/api/admin/clients/create', {method: 'POST', body: {name}})", f"From {host}")
    assert created["client"]["token"]
    at = f"/api/admin/clients/{created['client']['id']}"
    renewed = page.evaluate("at => call(at + '/regenerate-token', {method: 'POST'})", at)  # no body at all
    assert renewed["token"] != created["client"]["token"]
    assert page.evaluate("at => call(at, {method: 'DELETE'})", at)["success"] is True


def test_an_agents_settings_are_saved(dashboard, bundle_server):
    path = f"/api/client/agents/{bundle_server.agent}/toggle-enabled"
    for enabled, shown in ((False, "OFF"), (True, "ON")):
        dashboard.evaluate("([path, enabled]) => call(path, {method: 'POST', body: {enabled}})", [path, enabled])
        dashboard.click("#clientAgents")
        dashboard.wait_for_selector("#screen[data-shown=clientAgents]")
        assert f"{bundle_server.agent} {shown}" in dashboard.text_content("#screen")


def test_an_upload_reaches_the_server_and_is_answered_in_words(dashboard):
    answer = dashboard.evaluate("upload('/api/admin/ml-models/upload', 'notes.txt', 'no model')")
    assert answer["status"] == 400
    assert ".onnx" in answer["error"]
    dashboard.complaints.clear()  # the browser itself notes the 400


@pytest.mark.parametrize(
    ("path", "name", "header"),
    [
        ("/api/admin/export/global-stats", "global_stats.csv", "Client ID,Name,Email,"),
        ("/api/client/{client}/export/savings", "client_{client}_savings.csv", "Year,Month,Month Name,"),
        (
            "/api/client/{client}/export/switch-history",
            "client_{client}_switch_history.csv",
            "Timestamp,Old Instance ID,",
        ),
    ],
)
def test_exports_download_by_navigation(dashboard, bundle_server, path, name, header):
    with dashboard.expect_download() as download:  # of the tab it opens, which closes at once
        dashboard.evaluate("path => { exportCsv(path) }", path.format(client=bundle_server.client))
    assert download.value.suggested_filename == name.format(client=bundle_server.client)
    assert download.value.path().read_text().startswith(header)


def test_when_the_session_ends_calls_get_json_and_not_a_login_page(dashboard):
    dashboard.context.clear_cookies()
    dashboard.click("#clients")
    dashboard.wait_for_selector("#screen[data-shown=clients]")
    assert "401" in dashboard.text_content("#screen")
    dashboard.complaints.clear()
