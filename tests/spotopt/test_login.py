"""/login and /logout: staff only, `next` stays on this server, a foreign page cannot log anybody out."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


@pytest.fixture
def operator(staff):
    staff.set_password(PASSWORD)
    staff.save()
    return staff


def log_in(client, username="operator", password=PASSWORD, **extra):
    return client.post("/login", {"username": username, "password": password} | extra)


def test_the_page_shows_a_form_that_no_other_page_may_frame_or_script(client):
    answer = client.get("/login")
    assert answer.status_code == 200
    assert b'name="password"' in answer.content
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "no-store" in answer.headers["Cache-Control"]


def test_an_operator_comes_to_the_dashboard_and_may_use_the_api(client, operator):
    answer = log_in(client)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/dashboard/")
    assert client.get("/dashboard/").status_code == 200
    assert client.get("/api/admin/stats").status_code == 200


def test_the_session_cookie_is_out_of_reach_of_scripts_and_foreign_pages(client, operator):
    log_in(client)
    cookie = client.cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_a_wrong_password_is_told_and_opens_nothing(client, operator):
    answer = log_in(client, password="guess")
    assert answer.status_code == 200
    assert b"Please enter the correct username and password" in answer.content
    assert client.get("/dashboard/").status_code == 302


def test_who_is_not_staff_does_not_get_in(client, db):
    get_user_model().objects.create_user("customer", password=PASSWORD)
    assert log_in(client, username="customer").status_code == 200
    assert client.get("/dashboard/").status_code == 302


def test_a_session_without_staff_rights_sees_the_form_and_not_a_loop(client, db):
    client.force_login(get_user_model().objects.create_user("customer", password=PASSWORD))
    answer = client.get("/dashboard/", follow=True)
    assert [status for _, status in answer.redirect_chain] == [302]
    assert b'name="password"' in answer.content


def test_one_comes_back_to_where_one_wanted_to_go(client, operator):
    wanted = client.get("/admin/agents/agent/?status=offline", follow=True)
    address = wanted.redirect_chain[-1][0]
    assert address.startswith("/login?next=%2Fadmin%2Fagents%2Fagent%2F")
    answer = client.post(address, {"username": "operator", "password": PASSWORD})
    assert answer.headers["Location"] == "/admin/agents/agent/?status=offline"


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\x01//evil.example",
        "javascript:alert(1)",
        "http://[",
        "/login",
        "/login?next=/login",
        "/logout",
    ],
)
def test_next_leads_nowhere_else_and_not_in_circles(client, operator, address):
    assert log_in(client, next=address).headers["Location"] == "/dashboard/"
    assert client.get("/login", {"next": address}).headers["Location"] == "/dashboard/"  # logged in by now


def test_the_form_needs_its_own_token(operator):
    assert log_in(Client(enforce_csrf_checks=True)).status_code == 403


def test_guessing_is_stopped_here_too(client, operator):
    for _ in range(5):
        log_in(client, password="guess")
    answer = log_in(client)
    assert answer.status_code == 200
    assert b"Too many failed attempts" in answer.content


def test_logging_out_takes_a_click(client, staff):
    client.force_login(staff)
    assert client.get("/logout").status_code == 200
    assert client.get("/dashboard/").status_code == 200
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get("/dashboard/").status_code == 302


def test_a_foreign_page_cannot_log_anybody_out(staff):
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff)
    assert client.post("/logout").status_code == 403
    assert client.get("/dashboard/").status_code == 200
