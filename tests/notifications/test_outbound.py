"""Where webhooks may go, with a real server at the other end."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from notifications.services import outbound
from notifications.services.outbound import SendingFailed, is_public, place_of, post


class Receiver(ThreadingHTTPServer):
    """Remembers what was posted and answers with `status`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.headers, self.trickle, self.calls = 200, {}, False, []

    @property
    def url(self):
        return f"http://hooks.test:{self.server_port}/in?key=1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.server.trickle:
            self.server.released.wait(10)

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    server.released = threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def names(monkeypatch):
    """`names[host] = [addresses]`: what the name server says; `names.asked`: how often it was asked for one of them."""

    class Names(dict):
        asked = 0

    table = Names()

    def getaddrinfo(host, port, *args, **kwargs):
        table.asked += host in table
        if host not in table and not host.replace(".", "").isdigit():
            raise socket.gaierror(-2, "Name or service not known")
        found = table.get(host, [host])
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in found]
        return [(kind, socket.SOCK_STREAM, 6, "", (ip, port)) for kind, ip in zip(kinds, found, strict=True)]

    monkeypatch.setattr(outbound.socket, "getaddrinfo", getaddrinfo)
    return table


@pytest.fixture
def private(settings, names):
    settings.WEBHOOK_ALLOW_PRIVATE = True
    names["hooks.test"] = ["127.0.0.1"]


def send(url):
    post(url=url, body=b"{}", headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "::ffff:8.8.8.8",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ],
)
def test_addresses_inside_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111"])
def test_addresses_outside_are(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "http://hooks.example.com/",
        "https://user:password@hooks.example.com/",
        "https://",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://hooks.example.com:99999/",
    ],
)
def test_what_cannot_be_an_endpoint_is_refused_when_it_is_typed_in(url):
    with pytest.raises(SendingFailed):
        place_of(url)


@pytest.mark.parametrize("found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"]])
def test_a_name_that_leads_inside_is_refused(names, found):
    names["hooks.test"] = found
    with pytest.raises(SendingFailed, match="private network"):
        send("https://hooks.test/")


def test_the_metadata_service_by_its_number_is_refused(names):
    names["2852039166"] = ["169.254.169.254"]
    with pytest.raises(SendingFailed, match="private network"):
        send("https://2852039166/latest")


def test_the_checked_address_is_the_one_connected_to(private, names, receiver):
    names["hooks.test"] = ["127.0.0.1"]
    send(receiver.url)
    (path, headers, body) = receiver.calls[0]
    assert (path, body, headers["Host"]) == ("/in?key=1", b"{}", f"hooks.test:{receiver.server_port}")
    assert names.asked == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410, 500, 503])
def test_anything_but_2xx_is_a_failure_and_redirects_are_not_followed(private, receiver, status):
    receiver.status, receiver.headers = status, {"Location": receiver.url}
    with pytest.raises(SendingFailed, match=str(status)):
        send(receiver.url)
    assert len(receiver.calls) == 1


def test_a_server_that_never_finishes_is_given_up(private, receiver, monkeypatch):
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 0.3)
    receiver.trickle = True
    receiver.headers = {"Content-Length": "100"}
    with pytest.raises(SendingFailed):
        send(receiver.url)


def test_a_closed_port_is_a_failure_whose_text_holds_no_address(private):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SendingFailed) as failure:
        send(f"http://hooks.test:{port}/secret")
    assert "secret" not in str(failure.value)
    assert "127" not in str(failure.value)


def test_an_unknown_name_is_a_failure(private):
    with pytest.raises(SendingFailed, match="resolved"):
        send("http://nowhere.test/")


def test_plain_http_where_tls_is_due_is_refused(private, receiver):
    with pytest.raises(SendingFailed):
        send(receiver.url.replace("http:", "https:"))
    assert receiver.calls == []
