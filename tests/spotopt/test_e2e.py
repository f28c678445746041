"""The parts of `./dev e2e` that decide what counts as lost; the whole is run by hand, it takes minutes."""

import os
import re

from django.conf import settings

from spotopt.e2e.database import different
from spotopt.e2e.follower import Follower, frames
from spotopt.e2e.nginx import site
from spotopt.e2e.processes import GONE, Adopted

STREAM = b"""retry: 1000

event: CONNECTED
id: 7
data: {}

: keep-alive

event: COMMAND_EXECUTED
id: 9
data: {"data": {}}

event: HEARTBEAT
id: 9
data: {}

event: half a frame
id: 10"""


class Answer:
    status_code = 200

    def iter_lines(self, chunk_size):
        return iter(STREAM.split(b"\n"))


def test_a_follower_keeps_facts_only_and_resumes_after_the_last_id_it_saw(tmp_path):
    follower = Follower("https://127.0.0.1", token="t", authority=tmp_path)
    follower._read(Answer())
    assert (follower.first_id, follower.seen, follower.last_id) == (7, [9], "9")
    assert (follower.pause_seconds, follower.connections) == (1.0, 1)


def test_a_frame_that_was_cut_off_is_none():
    assert [fields.get("event") for fields in frames(iter(STREAM.split(b"\n")))][-1] == "HEARTBEAT"


def test_the_site_listens_on_this_machine_alone_and_passes_calls_to_the_given_ports(tmp_path):
    ports = {80: 1080, 443: 1443, 8000: 18000, 8001: 18001, 8002: 18002}
    given = (settings.BASE_DIR / "deploy/nginx.conf").read_text()
    text = site(given, certificate=tmp_path / "c", key=tmp_path / "k", ports=ports)
    assert re.findall(r"^\s*listen ([^\s;]+)", text, re.MULTILINE) == ["127.0.0.1:1080", "127.0.0.1:1443"]
    assert re.findall(r"^\s*server (\S+);", text, re.MULTILINE) == [f"127.0.0.1:1800{n}" for n in (0, 1, 2)]
    assert f"ssl_certificate {tmp_path}/c;" in text
    assert f"ssl_certificate_key {tmp_path}/k;" in text


def test_a_process_that_is_nobodys_child_has_ended():
    assert Adopted(os.getpid()).wait(timeout=1) == GONE


def test_tables_that_only_one_side_has_are_different():
    assert different({"agents": "a", "events": "b"}, {"agents": "a", "clients": "c"}) == ["clients", "events"]
