"""A network between agents and server that repeats, delays, reorders and loses, and agents that live with it."""

import random
import threading
from contextlib import suppress
from typing import Any

import requests

from spotopt.simulator.transport import TIMEOUT_SECONDS, Reply, Transport

PATIENCE_SECONDS = 6.0  # in times of trouble; the agents' own 30 real ones would be many minutes of simulated time
LONGEST_DELAY_SECONDS = 4.0
AWAY = "UNAVAILABLE"


class UnreliableTransport(Transport):
    """`share` of the calls go wrong. What is repeated or late was, for its agent, answered or lost long ago.

    While `is_disturbed` an answer may be missing, or be 503 with `Retry-After`; anything else stays an error.
    """

    def __init__(self, base_url: str, *, token: str, rng: random.Random, **options: Any) -> None:
        super().__init__(base_url, token=token, **options)
        self.share = 0.0
        self.is_disturbed = False
        self.repeated = self.late = self.lost = 0
        self._rng = rng
        self._under_way: list[threading.Timer] = []

    # --- What goes wrong ------------------------------------------------------------------------------------------

    def send(
        self, session: requests.Session, method: str, path: str, data: str | None, headers: dict[str, str] | None
    ) -> requests.Response:
        fate = self._rng.random() / self.share if self.share else 1.0
        if fate < 0.2 and method != "GET":  # it arrives, but long after its agent gave up
            self._send_later(session, method, path, data, headers)
            raise requests.ReadTimeout("delayed")
        response = super().send(session, method, path, data, headers)
        self._look_at(response, path)
        if fate >= 1.0 or not response.ok:
            return response
        if fate < 0.4:
            self.lost += 1
            raise requests.ConnectionError("the answer was lost")
        if method != "GET":
            if fate < 0.7:
                self.repeated += 1
                self._look_at(super().send(session, method, path, data, headers), path)
            else:
                self._send_later(session, method, path, data, headers)  # once more, behind what comes after it
        return response

    def _send_later(
        self, session: requests.Session, method: str, path: str, data: str | None, headers: dict[str, str] | None
    ) -> None:
        copy = requests.Session()
        copy.trust_env = False
        copy.headers.update(session.headers)
        copy.cookies.update(session.cookies)
        copy.adapters = session.adapters
        self.late += 1

        def deliver() -> None:
            with suppress(requests.RequestException):  # a late call may meet a server that is away
                self._look_at(super(UnreliableTransport, self).send(copy, method, path, data, headers), path)

        timer = threading.Timer(self._rng.uniform(0.2, LONGEST_DELAY_SECONDS), deliver)
        timer.daemon = True
        self._under_way.append(timer)
        timer.start()

    def disturb(self, share: float) -> None:
        self.share, self.is_disturbed, self.timeout_seconds = share, True, PATIENCE_SECONDS

    def settle(self) -> None:
        """From now on everything arrives, once; what is still under way does so before this returns."""
        self.share = 0.0
        for timer in self._under_way:
            timer.join()
        self._under_way.clear()
        self.is_disturbed, self.timeout_seconds = False, TIMEOUT_SECONDS

    # --- What is right meanwhile ----------------------------------------------------------------------------------

    def may_be_unreachable(self) -> bool:
        return self.is_disturbed

    def problem_of(self, reply: Reply, expected: tuple[int, ...]) -> str:
        if self.is_disturbed and reply.status == 503 and reply.get("code") == AWAY:
            return ""
        return super().problem_of(reply, expected)

    def _look_at(self, response: requests.Response, path: str) -> None:
        if response.status_code == 503:
            if "Retry-After" not in response.headers:
                self.complain("503 without Retry-After", path)
        elif response.status_code >= 500:
            self.complain(f"status {response.status_code}", f"{path}: {response.text[:300]}")


def is_healthy(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=PATIENCE_SECONDS).status_code == 200
    except requests.RequestException:
        return False
