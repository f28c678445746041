"""An operator's way through the console in a browser: log in, see what is wrong, press the button, see it solved.

`./dev screenshots` sets SCREENSHOTS, the directory that gets the pictures of docs/console.md.
"""

import json
import os
import sys
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tests.browser.conftest import run, serving
from tests.browser.console_world import PASSWORD

PICTURES = os.environ.get("SCREENSHOTS", "")
WIDE = {"width": 1180, "height": 700}
MOST_BYTES = 200_000


@pytest.fixture(scope="module")
def console(environment, directory):
    """The server and what is in its own database; each test of the way takes the next step of it."""
    own = environment | {"SQLITE_PATH": str(directory / "console.sqlite3")}
    run([sys.executable, "manage.py", "migrate", "--no-input", "-v0"], own)
    world = json.loads(run([sys.executable, "-m", "tests.browser.console_world"], own))
    with serving(own, {"client": "", "agent": "", "instance": ""}, directory / "console.log") as server:
        yield server.url, world


@pytest.fixture
def enter(page, console):
    page.set_viewport_size(WIDE)

    def log_in(name):
        page.goto(f"{console[0]}/admin/")
        page.fill("#id_username", name)
        page.fill("#id_password", PASSWORD)
        page.click("button")
        page.wait_for_selector("#problems")
        return page

    return log_in


def problems(page):
    return [text.strip() for text in page.locator("#problems td:first-child > :first-child").all_text_contents()]


def picture(page, name, **options):
    if PICTURES:
        path = Path(settings.BASE_DIR, PICTURES, f"{name}.png")
        path.parent.mkdir(exist_ok=True)
        page.screenshot(path=path, **options)
        assert path.stat().st_size <= MOST_BYTES


def press(page, words):
    page.click(f"#problems button:has-text('{words}')")


def is_told(page, text):
    """Waits for it: a click may return before the next page is there."""
    expect(page.locator(".messagelist")).to_contain_text(text)


def test_a_viewer_sees_what_is_wrong_and_finds_nothing_to_press(enter):
    page = enter("vera")
    assert len(problems(page)) == 5
    assert page.locator("#problems button").count() == 0
    assert "read-only" in page.text_content(".find")


def test_an_operator_sees_what_is_wrong_presses_and_sees_it_solved(enter, console):
    _, world = console
    page = enter("olga")
    assert problems(page) == [
        "AWS takes an instance back",
        "An agent is silent",
        "A termination is held until you looked",
        "An order failed",
        "A move waits for approval",
    ]
    page.set_viewport_size({"width": 1280, "height": 1130})
    picture(page, "console")
    page.set_viewport_size(WIDE)

    press(page, f"Make {world['standby']} the primary")
    assert "moves to this standby" in page.text_content("#content")
    picture(page, "console-question")
    page.click("input[value='Make it the primary']")
    page.wait_for_selector("#problems")
    is_told(page, "The standby is the primary now")
    assert "AWS takes an instance back" not in problems(page)
    assert "An agent is silent" not in problems(page)

    press(page, "Let it be terminated")
    page.click("input[value='Let it be terminated']")
    page.wait_for_selector("#problems")
    is_told(page, f"{world['held']}: may be terminated")

    press(page, "Order a move")
    page.select_option("#id_target", "t3.medium.us-east-1b")
    picture(page, "console-move")
    page.click("input[value='Order the move']")
    page.wait_for_selector("#problems")
    is_told(page, "the move to t3.medium.us-east-1b was ordered")

    press(page, "Reject")
    page.wait_for_selector("#problems")
    assert "Nothing waits for you" in page.text_content("#problems")
    picture(page, "console-solved")
    assert "olga" in page.text_content("text=Who did what here >> xpath=..")


def test_a_rows_own_page_has_its_buttons_and_leads_back_to_itself(enter, console):
    url, world = console
    page = enter("olga")
    page.goto(f"{url}/admin/agents/agent/{world['api']}/change/")
    picture(page, "console-agent")
    page.click(".console-buttons button:has-text('Disable')")
    page.wait_for_selector(".messagelist")
    assert page.url.endswith(f"/admin/agents/agent/{world['api']}/change/")
    is_told(page, "Agent api: disabled")
    page.click(".console-buttons button:has-text('Enable')")
    page.wait_for_selector(".console-buttons button:has-text('Disable')")


def test_an_administrator_makes_a_client_and_sees_its_token_once(enter, console):
    url, _ = console
    page = enter("anna")
    page.goto(f"{url}/admin/clients/client/add/")
    page.fill("#id_name", "Newsletter")
    page.click("input[name=_save]")
    is_told(page, "shown this once: token-")
    page.reload()
    assert "token-" not in page.text_content("body")


def test_every_list_and_a_row_of_each_opens_without_a_complaint(enter, console):
    url, _ = console
    page = enter("anna")
    lists = page.eval_on_selector_all(".everything th a", "links => links.map(a => a.href)")
    assert len(lists) > 25
    opened = 0
    for address in lists:
        assert page.goto(address).status == 200, address
        row = page.locator("#result_list tbody th a").first
        if row.count():
            opened += 1
            with page.expect_navigation() as navigation:
                row.click()
            assert navigation.value.status == 200, page.url
    assert opened > 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_page_fits_a_phone(enter, scheme):
    page = enter("vera")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("getComputedStyle(document.querySelector('.tile')).borderRadius") == "8px"
    assert page.locator(".tiles").evaluate("tiles => tiles.scrollWidth <= tiles.clientWidth")
