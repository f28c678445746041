"""What agents send, in every dialect, brought into the shape the services take."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

from agents.services.protocol import guess_at_registration
from instances.services.registration import Registration
from instances.services.results import ActionResult
from instances.services.switching import Side, SwitchReport
from spotopt.common import clock, wire
from spotopt.common.errors import Invalid


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Agent v4",
            value={
                "client_token": "token-…",
                "logical_agent_id": "web-1",
                "instance_id": "i-0123456789abcdef0",
                "instance_type": "t3.medium",
                "region": "us-east-1",
                "az": "us-east-1a",
                "ami_id": "ami-0123456789abcdef0",
                "hostname": "ip-10-0-0-5",
                "agent_version": "4.0.0",
                "mode": "spot",
                "private_ip": "10.0.0.5",
            },
        )
    ]
)
class RegisterIn(wire.WireSerializer):
    """agent-api 3.1."""

    logical_agent_id = wire.Identifier(max_length=255)
    instance_id = wire.Identifier()
    instance_type = wire.Text(max_length=64)
    region = wire.Text(max_length=32)
    az = wire.Text(max_length=48)
    ami_id = wire.Text(max_length=64)
    hostname = wire.Text(max_length=255)
    agent_version = wire.Text(max_length=32)
    mode = wire.WireMode()
    private_ip = wire.IPAddress()
    public_ip = wire.IPAddress()
    cloud_account = wire.Text(max_length=255)
    project_id = wire.Text(max_length=255)
    aliases = {"az": ("availability_zone",), "mode": ("current_mode",)}
    needed = {"instance_id": ()}

    def parse_registration(self, data: dict[str, Any]) -> Registration:
        """Raises Invalid without an instance id: nothing may be registered as nobody's machine."""
        body = self.parse(data)
        if not body["instance_id"]:
            raise Invalid("Validation failed", details={"instance_id": ["This field is required."]})
        metadata = {name: value for name in ("cloud_account", "project_id") if (value := body.pop(name))}
        body["logical_agent_id"] = body["logical_agent_id"] or body["instance_id"]
        protocol = guess_at_registration(
            version=body["agent_version"],
            has_body_token=bool(data.get("client_token")),
            has_mode="mode" in data or "current_mode" in data,
            is_v5="cloud_account" in data or "project_id" in data,
        )
        return Registration(**body, protocol=protocol, metadata=metadata)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Agent v4",
            value={
                "status": "online",
                "instance_id": "i-0123456789abcdef0",
                "monitored_instances": ["i-0123456789abcdef0"],
                "instance_type": "t3.medium",
                "mode": "spot",
                "az": "us-east-1a",
            },
        )
    ]
)
class HeartbeatIn(wire.WireSerializer):
    """agent-api 3.2."""

    status = wire.Text(max_length=32)
    instance_id = wire.Identifier()
    monitored_instances = wire.WireList(child=wire.Identifier())
    instance_type = wire.Text(max_length=64)
    az = wire.Text(max_length=48)
    mode = wire.WireMode()
    reconnect = wire.WireBool(default=False)
    aliases = {"az": ("availability_zone",), "mode": ("current_mode",)}

    def parse(self, data: Any) -> dict[str, Any]:
        body = super().parse(data)
        body["instance_id"] = body["instance_id"] or next(iter(body["monitored_instances"]), "")
        snapshot = data.get("inventory_snapshot")
        body["inventory"] = snapshot if isinstance(snapshot, dict) else {}
        return body


class SideIn(wire.WireSerializer):
    instance_id = wire.Identifier()
    instance_type = wire.Text(max_length=64)
    region = wire.Text(max_length=32)
    az = wire.Text(max_length=48)
    ami_id = wire.Text(max_length=64)
    mode = wire.WireMode()
    pool_id = wire.Text(max_length=128)
    aliases = {
        "az": ("availability_zone",),
        "mode": ("current_mode",),
        "pool_id": ("current_pool_id", "current_pool"),
    }
    needed = {"instance_id": ()}


class PricesIn(wire.WireSerializer):
    """v2 writes 0.0 for "unknown", which no price is."""

    on_demand = wire.WirePrice()
    old_spot = wire.WirePrice()
    new_spot = wire.WirePrice()
    aliases = {
        "on_demand": ("ondemand", "on_demand_price", "ondemand_price"),
        "old_spot": ("old_spot_price", "old_price"),
        "new_spot": ("new_spot_price", "new_price"),
    }


class TimingIn(wire.WireSerializer):
    initiated_at = wire.WireTime()
    instance_launched_at = wire.WireTime()
    instance_ready_at = wire.WireTime()
    traffic_switched_at = wire.WireTime()
    old_terminated_at = wire.WireTime()
    ami_created_at = wire.WireTime()
    aliases = {
        "initiated_at": ("switch_initiated_at",),
        "instance_launched_at": ("new_instance_launched_at",),
        "instance_ready_at": ("new_instance_ready_at",),
        "old_terminated_at": ("old_instance_terminated_at",),
    }


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Agent v4",
            value={
                "old_instance": {
                    "instance_id": "i-0123456789abcdef0",
                    "instance_type": "t3.medium",
                    "mode": "ondemand",
                },
                "new_instance": {
                    "instance_id": "i-0fedcba9876543210",
                    "instance_type": "t3.medium",
                    "region": "us-east-1",
                    "az": "us-east-1b",
                    "mode": "spot",
                    "pool_id": "t3.medium.us-east-1b",
                },
                "prices": {"on_demand": 0.0416, "new_spot": 0.0125},
                "timing": {"initiated_at": "2026-01-05T10:00:00Z", "instance_ready_at": "2026-01-05T10:02:10Z"},
                "trigger": "manual",
            },
        )
    ]
)
class SwitchIn(wire.WireSerializer):
    """agent-api 3.11: blocks `old_instance`, `new_instance`, `prices` (or `pricing`), `timing`; or everything flat."""

    old_instance = SideIn()
    new_instance = SideIn()
    prices = PricesIn()
    timing = TimingIn()
    snapshot = wire.WireObject()
    trigger = wire.Text(max_length=32)
    command_id = wire.Identifier()
    downtime_seconds = wire.WireInteger()
    success = wire.WireBool(default=True)
    error_message = wire.Text(max_length=2000)
    aliases = {"prices": ("pricing",), "error_message": ("error",)}
    needed = {"old_instance": (), "new_instance": ()}

    def parse_report(self, data: dict[str, Any]) -> SwitchReport:
        """Raises Invalid when either instance id is missing; everything else may be unknown."""
        body = self.parse(_nested(data))
        missing = [name for name in ("old_instance", "new_instance") if not body[name]["instance_id"]]
        if missing:
            raise Invalid("Validation failed", details={name: ["instance_id is required."] for name in missing})
        now = clock.now()
        timing = {name: wire.clamp_time(at, received_at=now) if at else None for name, at in body.pop("timing").items()}
        prices = body.pop("prices")
        return SwitchReport(
            old=Side(**body.pop("old_instance")),
            new=Side(**body.pop("new_instance")),
            ondemand_price=prices["on_demand"],
            old_spot_price=prices["old_spot"],
            new_spot_price=prices["new_spot"],
            timing=timing,
            **body,
        )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A launch",
            value={
                "request_id": "16fd2706-8baf-433b-82eb-8c7fada847da",
                "result": "SUCCESS",
                "cloud_instance_id": "i-0fedcba9876543210",
                "metadata": {"confirmation_time_seconds": 41},
            },
        )
    ]
)
class ResultIn(wire.WireSerializer):
    """agent-api 3.9."""

    request_id = wire.Identifier()
    result = wire.Text(max_length=16)
    cloud_instance_id = wire.Identifier()
    error_message = wire.Text(max_length=2000)
    metadata = wire.WireObject()

    def parse_result(self, data: dict[str, Any]) -> ActionResult:
        body = self.parse(data)
        metadata = body.pop("metadata")
        is_confirmed = metadata.get("confirmation_time_seconds", 0) is not None
        return ActionResult(succeeded=body.pop("result").upper() == "SUCCESS", is_confirmed=is_confirmed, **body)


class InstanceNamedIn(wire.WireSerializer):
    """Notices, shutdowns and other calls that mainly name an instance."""

    instance_id = wire.Identifier()
    reason = wire.Text(max_length=200)
    aliases = {"instance_id": ("cloud_instance_id",), "reason": ("termination_reason",)}


class InstanceTerminatedIn(InstanceNamedIn):
    needed = {"instance_id": ()}


class LaunchedIn(wire.WireSerializer):
    temp_instance_id = wire.Identifier()
    instance_id = wire.Identifier()
    request_id = wire.Identifier()
    needed = {"temp_instance_id": (), "instance_id": ()}


class TerminationReportIn(wire.WireSerializer):
    """Three messages on one path (agent-api 3.17); `kind` says which: notice, outcome or confirmation."""

    instance_id = wire.Identifier()
    notice_type = wire.Text(max_length=32)
    termination_time = wire.WireTime()
    success = wire.WireBool()
    error = wire.Text(max_length=2000)
    terminated_at = wire.WireTime()
    aliases = {"instance_id": ("cloud_instance_id",), "termination_time": ("notice_time",)}
    needed = {"instance_id": ()}

    def parse(self, data: Any) -> dict[str, Any]:
        body = super().parse(data)
        if body["notice_type"] or (body["termination_time"] and body["success"] is None):
            return body | {"kind": "notice"}
        return body | {"kind": "outcome" if body["success"] is not None else "confirmation"}


def _nested(data: dict[str, Any]) -> dict[str, Any]:
    """The documented flat form: old_instance_id, new_instance_id, prices and times at the top level."""
    sides = {
        f"{end}_instance": {
            name: data[key]
            for name in ("instance_id", "instance_type", "region", "az", "ami_id", "mode", "pool_id")
            if (key := f"{end}_{name}") in data
        }
        for end in ("old", "new")
    }
    blocks = {"prices": data.get("pricing") or data, "timing": data}
    return sides | blocks | {name: value for name, value in data.items() if value not in (None, {})}
