"""What pages of other origins can do with an operator's browser: nothing (dashboard-api 1.3)."""

import pytest

from tests.browser.conftest import PLAIN_HOST
from tests.browser.steps import log_in

# As forms and simple requests go: without a preflight, and with whatever cookies the browser will send.
POST = """async ([url, body]) => {
    const data = new FormData();
    data.append("files", new File(["x"], "x.onnx"));
    const simple = {method: "POST", mode: "no-cors", credentials: "include"};
    await fetch(url, {...simple, body: body === null ? data : body}).catch(() => null);
}"""


@pytest.fixture(params=["localhost", PLAIN_HOST])
def victim(page, bundle_server, foreign_port, request):
    """An operator who is logged in and visits another page on the same host: to cookies that is the same site."""
    own = f"http://{request.param}:{bundle_server.port}"
    log_in(page, own)
    page.wait_for_selector("#screen[data-shown=shell]")
    page.goto(f"http://{request.param}:{foreign_port}/")
    page.own = own
    return page


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/admin/clients/create", '{"name": "Planted"}'), ("/api/admin/ml-models/upload", None)],
)
def test_a_post_from_another_port_carries_the_session_and_is_refused(victim, path, body):
    with victim.expect_response(victim.own + path) as answer:
        victim.evaluate(POST, [victim.own + path, body])
    assert answer.value.status == 403  # 401 would mean that the session did not come along
    victim.complaints.clear()
    assert victim.goto(victim.own).status == 200
    victim.wait_for_selector("#screen[data-shown=shell]")
    victim.click("#clients")
    victim.wait_for_selector("#screen[data-shown=clients]")
    assert "Planted" not in victim.text_content("#screen")


def test_a_post_from_another_host_is_anonymous(page, bundle_server, foreign_port):
    log_in(page, bundle_server.url)
    page.wait_for_selector("#screen[data-shown=shell]")
    page.goto(f"http://127.0.0.1:{foreign_port}/")
    url = f"{bundle_server.url}/api/admin/clients/create"
    with page.expect_response(url) as answer:
        page.evaluate(POST, [url, '{"name": "Planted"}'])
    assert answer.value.status == 401
    page.complaints.clear()


def test_another_origin_reads_nothing(victim):
    read = victim.evaluate(
        "url => fetch(url, {credentials: 'include'}).then(a => a.text()).catch(() => 'refused')",
        victim.own + "/api/admin/clients",
    )
    assert read == "refused"
    victim.complaints.clear()


def test_no_other_page_can_frame_the_dashboard(victim):
    victim.evaluate(
        "url => document.body.append(Object.assign(document.createElement('iframe'), {src: url + '/dashboard/'}))",
        victim.own,
    )
    victim.wait_for_load_state("networkidle")
    assert not any(frame.url.startswith(victim.own) for frame in victim.frames)
    victim.complaints.clear()
