"""deploy/nginx-dashboard.conf under a real nginx: a proxy that logs people in (dashboard-api 1.3 option A)."""

import base64
import datetime
import re
import shutil
import socket
import ssl
import subprocess
import time
from types import SimpleNamespace

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings

from tests.browser.conftest import HERE, free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx: apt-get install nginx-light")

PERSON, PASSWORD = "alice", "staple battery"
NAME = "dashboard.example.com"
EXAMPLE = (settings.BASE_DIR / "deploy/nginx-dashboard.conf").read_text()


def certificate(directory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    public, private = directory / "fullchain.pem", directory / "privkey.pem"
    public.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*form))


def configuration(directory, *, port, upstream_port, token):
    """The example as it stands, with this machine's paths, port and token."""
    certificate(directory)
    (directory / "people").write_text(f"{PERSON}:{{PLAIN}}{PASSWORD}\n")
    (directory / "token.conf").write_text(
        f'map $is_person $persons_authorization {{ 1 "Bearer {token}"; default ""; }}\n'
    )
    for given, ours in {
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        "listen [::]:443 ssl http2;": "",
        f'" https://{NAME}"': f'" https://{NAME}:{port}"',
        "/etc/ssl/spotopt/": f"{directory}/",
        "/srv/dashboard": str(HERE / "bundle"),
        "/etc/nginx/spotopt-people": f"{directory}/people",
        "/etc/nginx/spotopt-token.conf": f"{directory}/token.conf",
    }.items():
        assert given in example_of(directory)
        (directory / "site.conf").write_text(example_of(directory).replace(given, ours))
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
        daemon off; pid {directory}/pid; error_log {directory}/error.log; worker_processes 1; user root;
        events {{}}
        http {{
            include /etc/nginx/mime.types; access_log off; {temporary}
            upstream spotopt {{ server 127.0.0.1:{upstream_port}; keepalive 4; }}
            upstream spotopt_events {{ server 127.0.0.1:{upstream_port}; }}
            include {directory}/site.conf;
        }}"""


def example_of(directory):
    site = directory / "site.conf"
    return site.read_text() if site.exists() else EXAMPLE


@pytest.fixture(scope="module")
def proxy(bundle_server, environment, tmp_path_factory):
    directory = tmp_path_factory.mktemp("nginx")
    port = free_port()
    main = directory / "nginx.conf"
    main.write_text(
        configuration(directory, port=port, upstream_port=bundle_server.port, token=environment["ADMIN_TOKEN"])
    )
    process = subprocess.Popen([NGINX, "-c", str(main)], stderr=subprocess.PIPE)
    try:
        wait_for_port(port, process)
        yield SimpleNamespace(url=f"https://{NAME}:{port}", port=port, directory=directory, server=bundle_server)
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()


def wait_for_port(port, process):
    for _ in range(100):
        if process.poll() is not None:
            pytest.fail(process.stderr.read().decode())
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("nginx does not listen")


@pytest.fixture
def call(proxy):
    """One call through the proxy; headers as given and none besides."""

    def send(method, path, **headers):
        wanted = {"Host": f"{NAME}:{proxy.port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        with requests.Session() as session:
            session.trust_env = False
            url = f"https://127.0.0.1:{proxy.port}{path}"
            body = '{"name": "Planted"}' if method == "POST" else None
            return session.request(
                method, url, data=body, headers=wanted | {"Content-Type": "application/json"}, verify=False, timeout=20
            )

    return send


@pytest.fixture(autouse=True)
def _untrusted_certificate():
    import urllib3

    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def basic(name=PERSON, password=PASSWORD):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


CREATE = "/api/admin/clients/create"


@pytest.mark.parametrize("authorization", [None, "", "Basic", "basic !", basic(password="guess"), basic("mallory")])
@pytest.mark.parametrize("path", ["/", "/dashboard/", "/assets/index-5tandIn0.js", "/api/admin/clients"])
def test_without_a_persons_login_there_is_nothing(call, path, authorization):
    answer = call("GET", path, **({} if authorization is None else {"Authorization": authorization}))
    assert answer.status_code == 401
    assert "Basic" in answer.headers["WWW-Authenticate"]
    assert answer.json()["error"] == "Please log in"


@pytest.mark.parametrize(
    "authorization", ["Bearer nonsense", "Bearer", "nonsense", "Digest username=alice", "Bearer \t"]
)
def test_a_program_with_a_wrong_token_does_not_become_admin(call, authorization):
    assert call("GET", "/api/admin/clients", Authorization=authorization).status_code == 401
    assert call("GET", "/", Authorization=authorization).status_code == 401


def test_a_person_is_admin(call):
    answer = call("GET", "/api/admin/clients", Authorization=basic())
    assert answer.status_code == 200
    assert "Web shop" in [client["name"] for client in answer.json()]


def test_a_programs_own_token_says_who_it_is(call, proxy, environment):
    admin = {"Authorization": f"Bearer {environment['ADMIN_TOKEN']}"}
    client = proxy.server.client
    token = call("GET", f"/api/admin/clients/{client}/token", **admin).json()["token"]
    own = {"Authorization": f"Bearer {token}"}
    assert call("GET", "/api/client/validate", **own).json()["client_id"] == client
    assert call("GET", "/api/admin/clients", **own).status_code == 403


def test_two_authorization_headers_are_not_two_chances(proxy):
    """A person's login in one, a program's nonsense in the other, in both orders, and a bad login first."""
    pairs = [(basic(), "Bearer nonsense"), ("Bearer nonsense", basic()), (basic(password="guess"), "Bearer nonsense")]
    assert [raw_status(proxy.port, headers) for headers in pairs] == [400] * len(pairs)


def raw_status(port, authorizations):
    context = ssl._create_unverified_context()
    lines = [f"GET /api/admin/clients HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n"]
    lines += [f"Authorization: {value}\r\n" for value in authorizations]
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as tls:
        tls.sendall("".join([*lines, "\r\n"]).encode())
        return int(re.match(rb"HTTP/1.1 (\d+)", tls.recv(100))[1])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "same-site", "Origin": f"https://other.{NAME}"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": f"https://{NAME}.evil.example"},
    ],
)
@pytest.mark.parametrize("path", [CREATE, "/api/admin/ml-models/upload"])
def test_a_foreign_page_cannot_use_a_persons_login(call, path, headers):
    answer = call("POST", path, Authorization=basic(), **headers)
    assert answer.status_code == 403
    assert "did not come from a page" in answer.json()["error"]
    assert "Planted" not in call("GET", "/api/admin/clients", Authorization=basic()).text


def test_the_dashboards_own_page_can(call, proxy):
    origins = [{"Sec_Fetch_Site": "same-origin"}, {"Origin": f"{proxy.url}"}]
    for headers in origins:
        created = call("POST", CREATE, Authorization=basic(), **headers)
        assert created.status_code == 200
        at = f"/api/admin/clients/{created.json()['client']['id']}"
        assert call("DELETE", at, Authorization=basic(), **headers).status_code == 200


def test_a_staff_session_is_no_way_around_the_proxy(call, bundle_server):
    """Its cookie is not sent on, so what a call may do is up to the proxy's login alone."""
    with requests.Session() as session:
        page = session.get(f"{bundle_server.url}/login", timeout=20)
        form = {
            "csrfmiddlewaretoken": re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.text)[1],
            "username": "operator",
            "password": "correct horse battery",
        }
        session.post(f"{bundle_server.url}/login", data=form, timeout=20, headers={"Origin": bundle_server.url})
        cookie = f"sessionid={session.cookies['sessionid']}"
        assert session.get(f"{bundle_server.url}/api/admin/clients", timeout=20).status_code == 200
    assert call("GET", "/api/admin/clients", Cookie=cookie).status_code == 401


def test_health_and_icon_are_for_everybody(call):
    assert call("GET", "/health").json()["status"] == "success"
    assert call("GET", "/vite.svg").headers["Content-Type"] == "image/svg+xml"


def test_the_dashboard_works_in_a_browser_that_logged_in_there(browser, proxy):
    rules = {"username": PERSON, "password": PASSWORD}
    context = browser.new_context(http_credentials=rules, ignore_https_errors=True, accept_downloads=True)
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.goto(f"{proxy.url}/?client={proxy.server.client}")
    for screen in ("shell", "overview", "instances", "client", "drawer"):
        page.click(f"#{screen}")
        page.wait_for_selector(f"#screen[data-shown={screen}]")
        assert not page.text_content("#screen").startswith("failed")
    created = page.evaluate(f"call('{CREATE}', {{method: 'POST', body: {{name: 'Through the proxy'}}}})")
    page.evaluate(f"call('/api/admin/clients/{created['client']['id']}', {{method: 'DELETE'}})")
    with page.expect_download() as download:
        page.evaluate("() => { exportCsv('/api/admin/export/global-stats') }")
    assert download.value.suggested_filename == "global_stats.csv"
    context.close()
    assert complaints == []
