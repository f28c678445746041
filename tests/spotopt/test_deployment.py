"""What deploy/ holds is tried with the programs that read it, where they are installed; `./dev e2e` runs it all."""

import getpass
import grp
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from django.conf import settings

from spotopt.e2e.nginx import site, write_certificate

ROOT = settings.BASE_DIR
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("spotopt-*.*"))


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **options)


@needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    """As installed here instead of in /opt/spotopt, by a user that exists."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/spotopt/.venv/bin/python", sys.executable)
        text = text.replace("/opt/spotopt/.venv/bin/gunicorn", str(ROOT / ".venv/bin/gunicorn"))
        (tmp_path / unit.name).write_text(text.replace("/opt/spotopt", str(ROOT)).replace("User=spotopt", "User=root"))
    ended = run("systemd-analyze", "verify", "--man=no", *(tmp_path / unit.name for unit in UNITS))
    said = [line for line in ended.stderr.splitlines() if "spotopt" in line]
    assert (ended.returncode, said) == (0, [])


@needs("nginx")
@needs("openssl")
@pytest.mark.parametrize("name", ["nginx.conf", "nginx-dashboard.conf"])
def test_nginx_takes_the_sites(tmp_path, name):
    certificate, key = write_certificate(tmp_path)
    text = site((DEPLOY / "nginx.conf").read_text(), certificate=certificate, key=key)
    if name != "nginx.conf":  # beside it
        token = tmp_path / "token.conf"
        token.write_text('map $is_person $persons_authorization { 1 "Bearer TOKEN"; default ""; }')
        other = site((DEPLOY / name).read_text(), certificate=certificate, key=key)
        text += other.replace("/etc/nginx/spotopt-token.conf", str(token))
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {text} }}"
    )
    ended = run("nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    assert ended.returncode == 0, ended.stderr


@needs("logrotate")
def test_logrotate_takes_its_rules(tmp_path):
    rules = tmp_path / "logrotate"
    us = f"{getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"
    text = (DEPLOY / "logrotate").read_text().replace("spotopt spotopt", us)
    rules.write_text(text.replace("/var/log/spotopt", str(tmp_path)))
    rules.chmod(0o644)
    ended = run("logrotate", "--debug", "--state", tmp_path / "state", rules)
    assert ended.returncode == 0, ended.stderr
    assert "error" not in ended.stderr


def compose():
    return yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]


def test_the_containers_run_what_the_units_run():
    def words(unit):
        (command,) = re.findall(r"^ExecStart=/opt/spotopt/.venv/bin/(.+)$", (DEPLOY / unit).read_text(), re.MULTILINE)
        return command.split()

    (image,) = re.findall(r"^CMD (\[.+\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    services = compose()
    assert yaml.safe_load(image) == words("spotopt-web.service")
    assert services["urgent"]["command"] == words("spotopt-urgent.service")
    assert services["events"]["command"] == words("spotopt-events.service")
    assert services["jobs"]["command"] == words("spotopt-jobs.service")
    assert services["events"]["environment"]["DB_CONN_MAX_AGE"] == "0"


def test_the_image_holds_every_application_and_nothing_that_is_not_there():
    sources = set(re.findall(r"^COPY (?!--)(\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    ours = {app.partition(".")[0] for app in settings.INSTALLED_APPS if (ROOT / app.partition(".")[0]).is_dir()}
    assert ours <= sources
    admitted = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert admitted == sources


def test_nginx_in_containers_finds_the_containers():
    services = compose()
    (command,) = [part for part in services["nginx"]["command"] if "sed" in part]
    targets = re.findall(r"s/([\d.\\]+:\d+)/([\d.]+):(\d+)/", command)
    upstreams = re.findall(r"server (127\.0\.0\.1:\d+);", (DEPLOY / "nginx.conf").read_text())
    assert [pattern.replace("\\", "") for pattern, _, _ in targets] == upstreams
    addresses = [services[name]["networks"]["inside"]["ipv4_address"] for name in ("web", "events", "urgent")]
    assert [address for _, address, _ in targets] == addresses
    port = re.search(r"FLASK_PORT=(\d+)", (ROOT / "Dockerfile").read_text())[1]
    assert {target for _, _, target in targets} == {port}
    proxy = services["nginx"]["networks"]["inside"]["ipv4_address"]
    assert services["web"]["environment"]["TRUSTED_PROXIES"] == proxy
