"""Guessing passwords at the operators' login."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.db import close_old_connections
from django.test import Client

from clients import login
from clients.models import LoginFailures
from notifications.models import SystemEvent

PASSWORD = "correct horse battery"


@pytest.fixture
def operator(db, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one is slow on purpose
    return get_user_model().objects.create_superuser("anna", password=PASSWORD)


@pytest.fixture(autouse=True)
def _fresh_reports():
    login._reports.clear()


def sign_in(password="wrong", username="anna", address="10.0.0.1"):
    return Client().post("/login", {"username": username, "password": password}, REMOTE_ADDR=address)


def is_blocked(response):
    return response.status_code == 200 and b"Too many failed attempts" in response.content


def test_the_right_password_opens(operator):
    assert sign_in(PASSWORD).status_code == 302


def test_after_five_failures_even_the_right_password_waits(operator):
    assert not any(is_blocked(sign_in()) for _ in range(5))
    response = sign_in(PASSWORD)
    assert is_blocked(response)
    assert b"15 minutes" in response.content


def test_the_block_ends_by_itself(operator):
    with time_machine.travel("2026-11-25T10:00:00Z", tick=False) as time:
        for _ in range(10):
            sign_in()
        assert is_blocked(sign_in(PASSWORD))
        time.shift(timedelta(minutes=15))
        assert sign_in(PASSWORD).status_code == 302


def test_success_forgets_the_failures_before_it(operator):
    for _ in range(4):
        sign_in()
    assert sign_in(PASSWORD).status_code == 302
    assert not any(is_blocked(sign_in()) for _ in range(5))


def test_signing_in_often_is_no_failure(operator):
    assert {sign_in(PASSWORD).status_code for _ in range(25)} == {302}


def test_an_operator_elsewhere_is_not_locked_out_by_a_stranger(operator):
    for _ in range(30):
        sign_in(address="10.6.6.6")
    assert sign_in(PASSWORD).status_code == 302


def test_one_address_may_not_try_many_names(operator):
    seen = [is_blocked(sign_in(username=f"user{n}")) for n in range(25)]
    assert seen == [False] * 20 + [True] * 5
    assert LoginFailures.objects.count() == 1 + 2 * 20  # what is blocked leaves no rows


def test_many_addresses_may_not_try_one_name_for_ever(operator, monkeypatch):
    monkeypatch.setitem(login.TRIES, "user", 10)
    for n in range(10):
        sign_in(address=f"10.1.0.{n}")
    assert is_blocked(sign_in(PASSWORD, address="10.2.0.1"))


def test_the_name_counts_in_any_case_and_an_ipv6_caller_by_its_network(operator):
    for n in range(5):
        sign_in(username=["anna", "ANNA"][n % 2], address=f"2001:db8::{n}")
    assert is_blocked(sign_in(PASSWORD, address="2001:db8::ffff"))
    assert sign_in(PASSWORD, address="2001:db8:0:1::1").status_code == 302


def test_a_block_is_an_event_once_a_minute_and_names_no_password(operator):
    for _ in range(9):
        sign_in("s3cret-guess")
    (event,) = SystemEvent.objects.filter(event_type="auth_failed")
    assert "10.0.0.1" in event.message
    assert "s3cret-guess" not in f"{event.message} {event.metadata}"


def test_names_are_not_kept_in_clear(operator):
    sign_in(username="my-password-in-the-wrong-field")
    assert not LoginFailures.objects.filter(subject__contains="password").exists()


@pytest.mark.mysql
@pytest.mark.django_db(transaction=True)
def test_parallel_tries_do_not_slip_through(monkeypatch):
    tried = []
    monkeypatch.setattr("django.contrib.auth.forms.authenticate", lambda *args, **kwargs: tried.append(1))

    def call(_):
        try:
            return sign_in()
        finally:
            close_old_connections()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(call, range(20)))
    assert len(tried) == 5
    assert sum(map(is_blocked, answers)) == 15
