import json

import pytest
import requests

from spotopt.simulator.transport import Transport
from tests.simulator.worlds import Response


class Session:
    """Gives one answer, or fails as a broken connection does."""

    def __init__(self, answer):
        self.answer = answer

    def request(self, method, url, **_):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def transport(tmp_path):
    transport = Transport("http://server/", token="t", journal=tmp_path / "journal")
    yield transport
    transport.close()


def call(transport, answer, *, method="POST", kind="heartbeat", **options):
    return transport.call(Session(answer), method, "/api/x", {"a": 1}, kind=kind, at=12.0, **options)


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (500, {"code": "INTERNAL"}, "status 500"),
        (404, {"code": "AGENT_NOT_FOUND"}, "status 404"),
        (200, {}, "empty object"),
        (200, None, "no JSON"),
    ],
)
def test_an_answer_that_agents_cannot_use_is_an_error(transport, status, body, problem):
    call(transport, Response(status, body))
    assert transport.counts.errors == {f"heartbeat: {problem}": 1}
    (failure,) = transport.counts.kept
    assert failure.request == 'POST /api/x {"a": 1}'


def test_an_expected_refusal_is_counted_apart(transport):
    reply = call(transport, Response(409, {"code": "BUSY"}), expected=(409,))
    assert not reply.ok
    assert transport.counts.errors == {}
    assert transport.counts.refused == {"heartbeat: 409 BUSY": 1}


def test_a_server_error_is_never_an_expected_refusal(transport):
    call(transport, Response(500, {"code": "INTERNAL"}), expected=(500,))
    assert transport.counts.errors == {"heartbeat: status 500": 1}


def test_no_answer_is_an_error_unless_the_server_is_down_on_purpose(transport):
    broken = requests.ConnectionError("refused")
    assert call(transport, broken).status == 0
    assert transport.counts.errors == {"heartbeat: no answer": 1}
    transport.is_down_on_purpose = True
    call(transport, broken)
    assert transport.counts.errors == {"heartbeat: no answer": 1}
    assert transport.counts.unreachable == 1


def test_a_route_that_this_server_does_not_have_is_no_error(transport):
    transport.missing.add("decide")
    call(transport, Response(404, {"code": "NOT_FOUND"}), kind="decide")
    assert transport.counts.errors == {}
    assert transport.counts.unavailable == {"decide": 1}


def test_the_journal_has_every_acknowledged_write_and_nothing_else(transport, tmp_path):
    call(transport, Response(200, {"success": True}))
    call(transport, Response(200, {"success": True}), method="GET")
    call(transport, Response(409, {"code": "BUSY"}), expected=(409,))
    call(transport, requests.ConnectionError("refused"))
    lines = (tmp_path / "journal").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"at": 12.0, "method": "POST", "path": "/api/x", "status": 200, "body": {"a": 1}}
    ]


def test_each_instance_speaks_from_its_own_address_and_with_its_own_cookies(transport):
    transport.bind_sources = True
    one, other = transport.session(source_ip="127.1.0.1"), transport.session(source_ip="127.1.0.2")
    assert one.cookies is not other.cookies
    assert one.headers["Authorization"] == "Bearer t"
    pools = [s.get_adapter("http://server").poolmanager.connection_pool_kw["source_address"] for s in (one, other)]
    assert pools == [("127.1.0.1", 0), ("127.1.0.2", 0)]
