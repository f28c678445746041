"""nginx with the site files of deploy/, on ports and with a certificate of our own."""

import getpass
import os
import re
import subprocess
from pathlib import Path

DAYS = 2  # a certificate is good for


def write_certificate(directory: Path) -> tuple[Path, Path]:
    """Self-signed, for 127.0.0.1."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(DAYS)]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *kind, *names, *files], check=True, capture_output=True)  # noqa: S603, S607
    return certificate, key


def site(text: str, *, certificate: Path, key: Path, ports: dict[int, int] | None = None) -> str:
    """The site file with other `ports` (by those it names), on 127.0.0.1 alone."""
    ports = ports or {}
    text = re.sub(r"^\s*listen \[::\].*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(\s*listen )(\d+)", lambda m: f"{m[1]}127.0.0.1:{ports.get(int(m[2]), m[2])}", text, flags=re.M)
    text = re.sub(r"(server 127\.0\.0\.1:)(\d+);", lambda m: f"{m[1]}{ports.get(int(m[2]), m[2])};", text)
    text = re.sub(r"ssl_certificate \S+;", f"ssl_certificate {certificate};", text)
    return re.sub(r"ssl_certificate_key \S+;", f"ssl_certificate_key {key};", text)


def configuration(directory: Path, sites: str) -> str:
    """Debian's nginx.conf, as far as it matters, with everything it writes in `directory`."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n    ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    return f"""{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log warn;
events {{
    worker_connections 2048;
}}
http {{
    {temporary}
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
{sites}
}}
"""
