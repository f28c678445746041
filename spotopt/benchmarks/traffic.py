"""What a fleet at rest sends: each dialect's calls with their true bodies and intervals (agent-api 1.1)."""

import heapq
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spotopt.benchmarks.driver import Answer, Job

MIX = {"v4": 0.5, "v2": 0.15, "v4b": 0.15, "v5": 0.2}
JITTER = 0.02
TYPES = ("m5.large", "c5.large", "r5.large", "m5.xlarge", "c5.xlarge", "r5.xlarge")
ZONES = "abcdef"
ONDEMAND = 0.096
UPTIME = b"1000000000"  # seconds; stands for a later one of as many digits


@dataclass(frozen=True)
class Call:
    name: str
    interval: float  # seconds
    data: bytes

    def at(self, now: float) -> bytes:
        """What is sent at this moment: v5 says how long it has been up, so that no two of its heartbeats are alike."""
        return self.data.replace(UPTIME, b"%d" % (int(UPTIME) + now)) if UPTIME in self.data else self.data


class BenchAgent:
    """`register_job` first; `calls` only then."""

    def __init__(self, number: int, *, dialect: str, host: str, token: str) -> None:
        self.number, self.dialect, self.host, self.token = number, dialect, host, token
        self.instance_id = f"i-{number + 16**8:017x}"
        self.instance_type = TYPES[number % len(TYPES)]
        self.az = f"us-east-1{ZONES[number // len(TYPES) % len(ZONES)]}"
        self.agent_id = ""
        self.cookie = ""

    def register_job(self) -> Job:
        return Job("register", self._request("POST", "/api/agents/register", self._registration()), 0.0, self._learn)

    def calls(self) -> Iterator[Call]:
        yield self._post("heartbeat", 30, self._heartbeat())
        if self.dialect in ("v2", "v4"):
            yield self._get("pending-commands", 15)
            yield self._get("config", 60)
            yield self._post("pricing-report", 300, self._prices())
        if self.dialect == "v4":
            yield self._get("replicas?status=launching", 30)
            yield self._get("replicas?status=terminated", 30)
            yield self._get("instances-to-terminate", 60)
        if self.dialect == "v4b":
            yield self._get("config", 30)
            yield self._post("decide", 300, {"spot_pools": self._pools(), "ondemand_price": ONDEMAND})
        if self.dialect == "v5":
            yield self._get("commands/pending", 5)
            yield self._post("pricing-report", 300, self._prices())

    # --- Bodies ---------------------------------------------------------------------------------------------------

    def _registration(self) -> dict[str, Any]:
        body = {
            "logical_agent_id": self.instance_id if self.dialect == "v5" else f"bench-{self.number}",
            "instance_id": self.instance_id,
            "instance_type": self.instance_type,
            "region": "us-east-1",
            "az": self.az,
            "ami_id": "ami-0123456789abcdef0",
            "hostname": f"ip-{self.number}",
            "agent_version": {"v2": "3.2.0", "v5": "5.0.1-production"}.get(self.dialect, "4.0.0"),
        }
        if self.dialect == "v5":
            return body | {"mode": "spot", "cloud_account": "", "project_id": "default"}
        if self.dialect != "v2":
            body |= {
                "mode": "spot",
                "private_ip": f"10.{self.number >> 16}.{self.number >> 8 & 255}.{self.number & 255}",
            }
        return body if self.dialect == "v4b" else body | {"client_token": self.token}

    def _heartbeat(self) -> dict[str, Any]:
        place = {"instance_id": self.instance_id, "instance_type": self.instance_type, "mode": "spot", "az": self.az}
        if self.dialect == "v4":
            return {"status": "online", "monitored_instances": [self.instance_id]} | place
        if self.dialect == "v2":
            return {"status": "online", "monitored_instances": [self.instance_id]}
        if self.dialect == "v5":
            entry = {
                "instance_id": self.instance_id,
                "instance_type": self.instance_type,
                "state": "running",
                "availability_zone": self.az,
                "tags": {},
            }
            health = {"uptime": int(UPTIME), "cpu_percent": 0, "memory_percent": 0}
            return {
                "status": "online",
                "inventory_snapshot": {"instances": [entry], "count": 1},
                "health_metrics": health,
            }
        return {"status": "online"}

    def _pools(self) -> list[dict[str, Any]]:
        """The same prices at every report: nothing new, as nearly always."""
        zones = [f"us-east-1{letter}" for letter in ZONES]
        return [
            {"pool_id": f"{self.instance_type}.{az}", "instance_type": self.instance_type, "az": az, "price": 0.031}
            for az in zones
        ]

    def _prices(self) -> dict[str, Any]:
        pools, pool_id = self._pools(), f"{self.instance_type}.{self.az}"
        instance = {
            "instance_id": self.instance_id,
            "instance_type": self.instance_type,
            "region": "us-east-1",
            "az": self.az,
            "mode": "spot",
            "pool_id": pool_id,
        }
        pricing = {
            "on_demand_price": ONDEMAND,
            "current_spot_price": 0.031,
            "cheapest_pool": {"pool_id": pools[0]["pool_id"], "price": 0.031},
            "spot_pools": pools,
        }
        return {"instance": instance, "pricing": pricing}

    # --- Requests -------------------------------------------------------------------------------------------------

    def _learn(self, answer: Answer) -> None:
        status, head, body = answer
        if status < 300 and status:
            self.agent_id = json.loads(body)["agent_id"]
            self.cookie = head.decode("latin-1").partition("Set-Cookie: ")[2].partition(";")[0]

    def _get(self, name: str, interval: float) -> Call:
        return Call(name, interval, self._request("GET", f"/api/agents/{self.agent_id}/{name}"))

    def _post(self, name: str, interval: float, body: dict[str, Any]) -> Call:
        return Call(name, interval, self._request("POST", f"/api/agents/{self.agent_id}/{name}", body))

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        cookie = {"Cookie": self.cookie} if self.cookie else {}
        return request(method, path, host=self.host, token=self.token, body=body, headers=cookie)


def request(
    method: str,
    path: str,
    *,
    host: str,
    token: str,
    body: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:
    """As Python's requests sends it, which is what the agents use."""
    payload = b"" if body is None else json.dumps(body).encode()
    lines = {
        "Host": host,
        "User-Agent": "python-requests/2.32",
        "Accept-Encoding": "gzip, deflate",
        "Accept": "*/*",
        "Connection": "keep-alive",
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
        **(headers or {}),
    }
    if body is not None:
        lines["Content-Length"] = str(len(payload))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + payload


class Timetable:
    """Which call is due when; each starts at a random moment of its first interval.

    `herd`: heartbeats start within so many seconds, as when a whole fleet comes back at once.
    """

    def __init__(self, calls: list[Call], *, now: float, herd: float | None = None) -> None:
        self._rng = random.Random(1)  # noqa: S311 (jitter)
        self._due = []
        for number, call in enumerate(calls):
            within = herd if herd is not None and call.name == "heartbeat" else call.interval
            self._due.append((now + self._rng.random() * within, number, call))
        heapq.heapify(self._due)

    def due(self, now: float) -> Iterator[Job]:
        while self._due and self._due[0][0] <= now:
            at, number, call = self._due[0]
            following = at + call.interval * self._rng.uniform(1 - JITTER, 1 + JITTER)
            heapq.heapreplace(self._due, (following, number, call))
            yield Job(call.name, call.at(now), at)
