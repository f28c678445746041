"""The agent programs as the server sees them: their exact bodies (agent-api 3), each with its own cookie jar."""

from tests.conftest import JsonClient


class Program:
    """One agent process on one instance. Every call returns the response; `agent_id` is learnt at registration."""

    version = "4.0.0"

    def __init__(self, token, *, instance_id, logical_agent_id="web", **facts):
        self.api = JsonClient().bearer(token)
        self.token = token
        self.instance_id = instance_id
        self.logical_agent_id = logical_agent_id
        self.facts = {"instance_type": "t3.medium", "region": "us-east-1", "az": "us-east-1a"} | facts
        self.agent_id = None

    def registration(self):
        return {
            "logical_agent_id": self.logical_agent_id,
            "instance_id": self.instance_id,
            **self.facts,
            "ami_id": "ami-0123456789abcdef0",
            "hostname": f"host-{self.instance_id}",
            "agent_version": self.version,
        }

    def register(self, **changes):
        response = self.api.post("/api/agents/register", self.registration() | changes)
        if response.status_code == 200:
            self.agent_id = response.json()["agent_id"]
        return response

    def settle(self):
        """Registered, heard, and known by what it polls."""
        self.register()
        self.heartbeat()
        self.orders()
        return self

    def get(self, path):
        """As agents do it: a JSON content type, and no body."""
        return self.api.get(f"/api/agents/{self.agent_id}/{path}", content_type="application/json")

    def post(self, path, body=None):
        return self.api.post(f"/api/agents/{self.agent_id}/{path}", body or {})

    def orders(self):
        return self.get("pending-commands").json()


class V4(Program):
    mode = "spot"

    def registration(self):
        return super().registration() | {
            "mode": self.facts.get("mode", self.mode),
            "private_ip": "10.0.0.1",
            "public_ip": None,
            "client_token": self.token,
        }

    def heartbeat(self, status="online"):
        return self.post(
            "heartbeat",
            {
                "status": status,
                "monitored_instances": [self.instance_id],
                "instance_id": self.instance_id,
                "instance_type": self.facts["instance_type"],
                "mode": self.facts.get("mode", self.mode),
                "az": self.facts["az"],
            },
        )

    def say_goodbye(self):
        return self.post("heartbeat", {"status": "offline", "monitored_instances": []})

    def report_switch(self, successor, **extra):
        """`successor` is the program on the new instance."""
        return self.post(
            "switch-report",
            {
                "old_instance": self.as_side(),
                "new_instance": successor.as_side(),
                "snapshot": {"used": False},
                "prices": {"on_demand": 0.0416, "old_spot": 0.0132, "new_spot": 0.0128},
                "timing": {
                    "switch_initiated_at": "2026-01-05T12:00:00.123456+00:00",
                    "new_instance_launched_at": "2026-01-05T12:00:20+00:00",
                    "new_instance_ready_at": "2026-01-05T12:01:00+00:00",
                    "traffic_switched_at": "2026-01-05T12:01:02+00:00",
                },
                "trigger": "manual",
            }
            | extra,
        )

    def as_side(self):
        mode = self.facts.get("mode", self.mode)
        return {
            "instance_id": self.instance_id,
            "instance_type": self.facts["instance_type"],
            "region": self.facts["region"],
            "az": self.facts["az"],
            "ami_id": "ami-0123456789abcdef0",
            "mode": mode,
            "pool_id": f"{self.facts['instance_type']}.{self.facts['az']}" if mode == "spot" else None,
        }

    def executed(self, command_id, *, success=True, message="done"):
        return self.post(f"commands/{command_id}/executed", {"success": success, "message": message})

    def to_terminate(self):
        return self.get("instances-to-terminate").json()

    def report_termination(self, instance_id, *, success=True, error=None):
        body = {"instance_id": instance_id, "success": success, "error": error}
        return self.post("termination-report", body | {"terminated_at": "2026-01-05T13:00:00Z" if success else None})


class V2(V4):
    version = "3.2.0"

    def registration(self):
        return {k: v for k, v in super().registration().items() if k not in ("mode", "private_ip", "public_ip")}

    def heartbeat(self, status="online"):
        return self.post("heartbeat", {"status": status, "monitored_instances": [self.instance_id]})

    def mark_executed(self, command_id):
        return self.post("mark-command-executed", {"command_id": command_id})


class V4b(Program):
    def registration(self):
        return super().registration() | {"mode": "spot", "private_ip": "10.0.0.1", "public_ip": None}

    def heartbeat(self, status="online"):
        return self.post("heartbeat", {"status": status})


class V5(Program):
    version = "5.0.1-production"

    def registration(self):
        extra = {"mode": "unknown", "cloud_account": "", "project_id": "default"}
        return super().registration() | {"logical_agent_id": self.instance_id} | extra

    def heartbeat(self, *others, **changes):
        """With the inventory of the account: this instance, and `others` as (instance id, pool id)."""
        own = f"{self.facts['instance_type']}.{self.facts['az']}"
        entries = [self.entry(self.instance_id, own), *(self.entry(*other) for other in others)]
        snapshot = {"instances": entries, "count": len(entries)}
        body = {"status": "online", "inventory_snapshot": snapshot} | changes
        return self.post("heartbeat", body | {"health_metrics": {"uptime": 60, "cpu_percent": 0, "memory_percent": 0}})

    def reconnect(self):
        return self.post("heartbeat", {"status": "online", "inventory_snapshot": {}, "reconnect": True})

    def entry(self, instance_id, pool_id, state="running"):
        return {
            "instance_id": instance_id,
            "state": state,
            "az": self.facts["az"],
            "instance_type": self.facts["instance_type"],
            "pool": pool_id,
            "tags": {"Name": "someone else's business"},
            "launch_time": "2026-01-05T11:00:00+00:00",
            "private_ip": None,
            "public_ip": None,
        }

    def orders(self):
        return self.get("commands/pending").json()["commands"]

    def launched(self, command, instance_id):
        return self.post(
            "instance-launched",
            {
                "temp_instance_id": command["instance_id"],
                "instance_id": instance_id,
                "instance_type": command["params"]["instance_type"],
                "az": command["params"]["az"],
                "request_id": command["request_id"],
                "confirmed_at": "2026-01-05T12:01:00",
            },
        )

    def result(self, command, *, instance_id=None, succeeded=True, error=None, confirmed_after=12):
        return self.post(
            "action-result",
            {
                "request_id": command["request_id"],
                "agent_id": self.agent_id,
                "result": "SUCCESS" if succeeded else "FAILURE",
                "cloud_instance_id": instance_id,
                "error_message": error,
                "metadata": {"confirmation_time_seconds": confirmed_after},
            },
        )
