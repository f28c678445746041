"""HAProxy with deploy/haproxy.cfg, on an address of its own beside each web machine's server."""

import re

from spotopt.cluster.galera import DOCUMENTED

RETURN = "on-marked-up shutdown-backup-sessions"


def configuration(text: str, *, network: str, address: str, prefers: str = "db1") -> str:
    """deploy/haproxy.cfg on `address`, with the nodes at `network`; it writes to `prefers` as long as that lives."""
    text = text.replace(DOCUMENTED, f"{network}.1").replace("bind 127.0.0.1:", f"bind {address}:")
    text = text.replace("log /dev/log local0", "log stdout format raw local0")
    return re.sub(r"^    server (\w+) (\S+) .*$", lambda m: _server(m[1], m[2], prefers), text, flags=re.MULTILINE)


def _server(name: str, address: str, prefers: str) -> str:
    return f"    server {name} {address} {RETURN if name == prefers else 'backup'}"
