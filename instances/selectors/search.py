"""Operators' search over clients, instances and agents by a piece of text (dashboard-api 2.2)."""

from collections.abc import Collection, Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Lower

from agents.models import Agent
from clients.models import Client
from instances.models import Instance

KINDS = ("clients", "instances", "agents")
SHORTEST, LONGEST, MOST_HITS = 2, 255, 10
AGENT_COLUMNS = ("hostname", "public_id", "logical_agent_id", "instance_id")
Row = TypeVar("Row", bound=Model)


def matching(rows: QuerySet[Row], columns: Sequence[str], text: str) -> QuerySet[Row]:
    """Rows with `text` in one of the columns, in any case; its wildcards are ordinary characters."""
    lowered = {f"lowered_{column}": Lower(column) for column in columns}
    found: QuerySet[Row] = rows.alias(**lowered)
    return found.filter(reduce(or_, (Q(**{f"{name}__contains": text.lower()}) for name in lowered)))


def search(*, text: str, kinds: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """At most MOST_HITS of each kind; a kind that is not asked for, or a text that is too short, has none."""
    text = text.strip()[:LONGEST]
    finders = {"clients": _clients, "instances": _instances, "agents": _agents}
    wanted = kinds if len(text) >= SHORTEST else ()
    return {kind: find(text) if kind in wanted else [] for kind, find in finders.items()}


def _clients(text: str) -> list[dict[str, Any]]:
    found = matching(Client.objects.order_by("name", "id"), ("name", "email", "public_id"), text)
    return [
        {
            "id": client.public_id,
            "name": client.name,
            "email": client.email,
            "status": client.status,
            "matchField": _match_field(client, text.lower()),
        }
        for client in found[:MOST_HITS]
    ]


def _match_field(client: Client, text: str) -> str:
    if text in client.name.lower():
        return "name"
    return "email" if client.email and text in client.email.lower() else "id"


def _instances(text: str) -> list[dict[str, Any]]:
    found = matching(Instance.objects.select_related("client").order_by("-id"), ("instance_id", "instance_type"), text)
    return [
        {
            "id": instance.instance_id,
            "name": instance.instance_id,
            "clientId": instance.client.public_id,
            "clientName": instance.client.name,
            "client": instance.client.name,
            "instanceType": instance.instance_type or None,
            "region": instance.region or None,
            "az": instance.az or None,
            "status": instance.status,
        }
        for instance in found[:MOST_HITS]
    ]


def _agents(text: str) -> list[dict[str, Any]]:
    found = matching(Agent.objects.select_related("client").order_by("-id"), AGENT_COLUMNS, text)
    return [
        {
            "id": agent.public_id,
            "name": agent.hostname or agent.logical_agent_id,
            "clientId": agent.client.public_id,
            "clientName": agent.client.name,
            "client": agent.client.name,
            "hostname": agent.hostname or None,
            "status": agent.status,
            "instanceId": agent.instance_id or None,
        }
        for agent in found[:MOST_HITS]
    ]
