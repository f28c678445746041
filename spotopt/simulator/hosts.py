"""Single calls of v4 agents in real time, without the simulated EC2 around them."""

from typing import Any

import requests

FACTS = {"instance_type": "t3.medium", "region": "us-east-1", "az": "us-east-1a", "agent_version": "4.0.0"}


class HostError(Exception):
    """The server refused a call."""


class Host:
    """A v4 agent process on one instance, as far as benchmarks and storms need it."""

    def __init__(self, url: str, token: str, *, name: str, instance_id: str) -> None:
        self.url, self.instance_id = url, instance_id
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"
        body = FACTS | {"logical_agent_id": name, "instance_id": instance_id, "mode": "spot", "client_token": token}
        self.agent_id = self.call("POST", "/api/agents/register", body)["agent_id"]
        self.get("pending-commands")  # tells a v4 from a v4-b

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        response = self.session.request(method, self.url + path, json=body, timeout=30)
        if response.status_code >= 300:
            raise HostError(f"{method} {path}: {response.status_code} {response.text[:200]}")
        return response.json()

    def get(self, path: str) -> Any:
        return self.call("GET", f"/api/agents/{self.agent_id}/{path}")

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.call("POST", f"/api/agents/{self.agent_id}/{path}", body)


def ready_pair(url: str, token: str, number: int) -> tuple[Host, Host]:
    """A primary and its ready standby, each with its agent."""
    name = f"pair-{number}"
    primary = Host(url, token, name=name, instance_id=f"i-p{number}")
    standby = {"instance_id": f"i-s{number}", "replica_type": "manual", "status": "ready"}
    primary.post("replicas", standby | {"pool_id": "t3.medium.us-east-1b"})
    return primary, Host(url, token, name=name, instance_id=f"i-s{number}")
