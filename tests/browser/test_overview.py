"""The server's own dashboard in a browser: complete, quiet, and readable on a phone."""

import pytest

from tests.browser.steps import log_in

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(params=[("light", WIDE), ("dark", WIDE), ("light", PHONE)], ids=["light", "dark", "phone"])
def overview(page, overview_server, request):
    scheme, size = request.param
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(size)
    log_in(page, overview_server.url)
    page.wait_for_selector("#overview")
    return page


def test_it_renders_without_a_complaint(overview):
    assert overview.locator(".tile").count() == 7
    assert overview.locator(".bar-pair").count() == 30
    assert overview.locator("path.line").count() == 3
    overview.wait_for_selector("#live:not([hidden])")
    assert "mail" in overview.text_content("#overview")
    assert "cart moved to spot" in overview.text_content("#events")


def test_nothing_sticks_out_at_the_side(overview):
    assert overview.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_its_style_is_loaded_under_its_policy(overview):
    assert overview.evaluate("getComputedStyle(document.querySelector('.tile')).borderRadius") == "11px"


def test_choosing_a_client_shows_that_client(overview, overview_server):
    overview.select_option("#client", overview_server.client)
    overview.wait_for_url(f"**client={overview_server.client}**")
    assert overview.title() == "Web shop · Spot Optimizer"


def test_an_event_appears_without_reloading(page, overview_server):
    log_in(page, overview_server.url)
    page.wait_for_selector("#live.on")
    page.evaluate(
        "fetch('/api/admin/clients/create', {method: 'POST', body: JSON.stringify({name: 'Fresh'}),"
        " headers: {'Content-Type': 'application/json'}})"
    )
    page.wait_for_selector("#events >> text=Fresh")


def test_logging_out_leads_to_the_login(overview, overview_server):
    overview.click("text=Log out")
    overview.wait_for_url("**/login")
    overview.goto(overview_server.url + "/dashboard/")
    assert overview.url.endswith("/login?next=/dashboard/")
