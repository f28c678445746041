"""What goes over an event stream (dashboard-api 2.9): which facts are sent under which name, and how a frame looks."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.models import SystemEvent
from spotopt.common import clock

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fact:
    """A row of system_events. `client_pk` None: not one tenant's affair."""

    pk: int
    event_type: str
    client_pk: int | None
    client_id: str | None
    agent_id: str
    instance_id: str
    metadata: dict[str, Any]
    created_at: datetime

    COLUMNS = (
        "pk",
        "event_type",
        "client_id",
        "client__public_id",
        "agent_id",
        "instance_id",
        "metadata",
        "created_at",
    )


Data = dict[str, Any]
Builder = Callable[[Fact], Data]


def _told(fact: Fact, *keys: str) -> Data:
    return {key: fact.metadata.get(key) for key in keys}


def _instance(status: str, *keys: str) -> Builder:
    return lambda fact: {"instance_id": fact.instance_id or None, "status": status} | _told(fact, *keys)


def _instance_change(fact: Fact) -> Data:
    return {"instance_id": fact.instance_id or None} | _told(fact, "old_status", "new_status")


def _agent_change(fact: Fact) -> Data:
    return {"agent_id": fact.agent_id or None} | _told(fact, "old_status", "new_status")


def _emergency(fact: Fact) -> Data:
    ids = {"agent_id": fact.agent_id or None, "instance_id": fact.instance_id or None}
    return fact.metadata | {"event_type": fact.event_type} | ids


def _command(fact: Fact) -> Data:
    return _told(fact, "command_id", "command_type", "status") | {"instance_id": fact.instance_id or None}


def _recommendation(fact: Fact) -> Data:
    ids = {"agent_id": fact.agent_id or None, "instance_id": fact.instance_id or None}
    return _told(fact, "recommendation_id", "status", "target_mode", "target_pool_id", "command_id") | ids


def _notification(fact: Fact) -> Data:
    item: Data = dict(fact.metadata["item"])
    return item


NOTIFICATION = "NOTIFICATION"
# What a fact is called on the stream, and what is said of it. Facts that do not stand here are not streamed.
STREAMED: dict[str, tuple[str, Builder]] = {
    "instance_launch_requested": (
        "INSTANCE_LAUNCHING",
        _instance("launching", "instance_type", "target_mode", "az", "role_hint", "command_id"),
    ),
    "instance_launch_confirmed": (
        "INSTANCE_RUNNING",
        _instance("running", "launch_duration_seconds", "final_status", "instance_type", "az"),
    ),
    "instance_termination_requested": ("INSTANCE_TERMINATING", _instance("terminating", "command_id")),
    "instance_terminated": ("INSTANCE_TERMINATED", _instance("terminated", "termination_duration_seconds")),
    SystemEvent.INSTANCE_STATE_CHANGED: ("INSTANCE_STATE_CHANGED", _instance_change),
    "agent_status_changed": ("AGENT_STATUS_CHANGED", _agent_change),
    "agent_marked_offline": ("AGENT_STATUS_CHANGED", _agent_change),
    "agent_deleted": ("AGENT_STATUS_CHANGED", _agent_change),
    "termination_notice": ("EMERGENCY_EVENT", _emergency),
    "rebalance_recommendation": ("EMERGENCY_EVENT", _emergency),
    "emergency_replica_created": ("EMERGENCY_EVENT", _emergency),
    "failover_completed": ("EMERGENCY_EVENT", _emergency),
    "replica_promoted": ("EMERGENCY_EVENT", _emergency),
    "command_executed": ("COMMAND_EXECUTED", _command),
    "recommendation_pending": ("RECOMMENDATION", _recommendation),
    "recommendation_approved": ("RECOMMENDATION", _recommendation),
    "recommendation_rejected": ("RECOMMENDATION", _recommendation),
    "recommendation_expired": ("RECOMMENDATION", _recommendation),
    SystemEvent.NOTIFICATION: (NOTIFICATION, _notification),
}


def name_of(fact: Fact) -> str | None:
    return STREAMED[fact.event_type][0] if fact.event_type in STREAMED else None


def event_frame(fact: Fact, *, with_client: bool) -> bytes:
    """The frame of a streamed fact; streams of the whole fleet say whose it is. Empty for a row that makes no sense."""
    name, build = STREAMED[fact.event_type]
    try:
        data = build(fact) | ({"client_id": fact.client_id} if with_client else {})
        return frame(name, {"data": data, "timestamp": clock.isoformat(fact.created_at)}, identifier=fact.pk)
    except (AttributeError, KeyError, TypeError, ValueError):  # it must not cost the others
        log.exception("event %d cannot be streamed", fact.pk)
        return b""


def connected_frames(*, client_id: str | None, cursor: int) -> bytes:
    """Both spellings; the id lets a browser that hears nothing else resume from here."""
    data = {"status": "connected", "client_id": client_id, "timestamp": clock.isoformat(clock.now())}
    return frame("CONNECTED", data, identifier=cursor) + frame("connected", data, identifier=cursor)


def heartbeat_frames(*, cursor: int) -> bytes:
    data = {"timestamp": clock.isoformat(clock.now())}
    return frame("HEARTBEAT", data, identifier=cursor) + frame("heartbeat", data, identifier=cursor)


def frame(name: str, data: Data, *, identifier: int) -> bytes:
    """`identifier`: the last fact that was sent, with this frame or before it, for Last-Event-ID."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # one line: newlines in texts come out escaped
    return f"event: {name}\nid: {identifier}\ndata: {text}\n\n".encode()


KEEP_ALIVE = b": keep-alive\n\n"


def retry_line(seconds: float) -> bytes:
    return f"retry: {int(seconds * 1000)}\n\n".encode()
