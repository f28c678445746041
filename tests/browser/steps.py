"""What an operator does."""

from tests.browser.world import OPERATOR, PASSWORD


def log_in(page, url, path="/"):
    page.goto(url + path)
    page.fill("#id_username", OPERATOR)
    page.fill("#id_password", PASSWORD)
    page.click("button")
