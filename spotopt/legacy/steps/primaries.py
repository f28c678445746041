"""Which instance is the primary of an agent? The old server's columns disagree, and often name several."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from instances.models import Instance
from spotopt.legacy.rows import Row
from spotopt.legacy.source import Source
from spotopt.legacy.steps.agents import NEVER
from spotopt.legacy.tables import Owners

Status = Instance.Status
STANDING_BY = {Status.REPLICA.value, Status.LAUNCHING.value}
LEAVING = {Status.ZOMBIE.value, Status.TERMINATING.value}
NAMED, CLAIMED = 1, 2
CLAIM_COLUMNS = (
    "id",
    "client_id",
    "agent_id",
    "instance_status",
    "is_active",
    "is_primary",
    "last_switch_at",
    "installed_at",
    "created_at",
    "terminated_at",
    "termination_confirmed",
)
AGENT_COLUMNS = ("id", "client_id", "instance_id", "last_heartbeat_at")


@dataclass(frozen=True)
class Named:
    """What the agents table says: its instance, and when it was last heard from there."""

    instance_id: str
    heard_at: datetime | None


class Primaries:
    """The newest living one that claims the role; where none does, the one that the agent's row names.

    An agent that has a primary here already keeps it.
    """

    def __init__(self, source: Source, owners: Owners) -> None:
        self.owners = owners
        self.named: dict[int, Named] = {}
        self._namers: dict[tuple[int, str], int] = {}
        for row in _rows(source, "agents", AGENT_COLUMNS):
            self._hear(row)
        found: dict[int, tuple[int, datetime, str]] = {}
        for row in _rows(source, "instances", CLAIM_COLUMNS):
            agent = self.agent_of(row)
            rank = self._rank(row, agent)
            if agent is not None and rank is not None:
                found[agent] = max(found.get(agent, rank), rank)
        self._chosen = {agent: instance_id for agent, (_, _, instance_id) in found.items()}
        here = Instance.objects.filter(status=Status.PRIMARY).exclude(agent=None)
        self._chosen |= dict(here.values_list("agent", "instance_id"))

    def agent_of(self, row: Row) -> int | None:
        """Of an instance; the one that names it where the row names none (promoted ones lacked their agent)."""
        client = self.owners.clients.get(row.text("client_id"))
        if client is None:
            return None
        found = self.owners.find_agent(row.text("agent_id"), client=client)
        return found or self._namers.get((client, row.instance_id("id")))

    def of(self, agent: int) -> str | None:
        return self._chosen.get(agent)

    def is_named(self, agent: int, instance_id: str) -> bool:
        return agent in self.named and self.named[agent].instance_id == instance_id

    def is_alive(self, row: Row, agent: int | None) -> bool:
        """The word of the agent that called from there is better than the flags."""
        if agent is not None and self.is_named(agent, row.instance_id("id")):
            heard_at, ended_at = self.named[agent].heard_at, row.time("terminated_at")
            if heard_at and (ended_at is None or heard_at > ended_at):
                return True
        status = row.text("instance_status").lower()
        if status == Status.TERMINATED or row.time("terminated_at") or row.flag("termination_confirmed", False):
            return False
        return row.flag("is_active", True) or status in LEAVING

    def _hear(self, row: Row) -> None:
        client = self.owners.clients.get(row.text("client_id"))
        agent = self.owners.find_agent(row.text("id"), client=client) if client is not None else None
        instance_id = row.instance_id("instance_id")
        if client is None or agent is None or not instance_id:
            return
        self._namers.setdefault((client, instance_id), agent)
        heard_at = row.time("last_heartbeat_at")
        known = self.named.get(agent)
        if known is None or (heard_at or NEVER) > (known.heard_at or NEVER):
            self.named[agent] = Named(instance_id, heard_at)

    def _rank(self, row: Row, agent: int | None) -> tuple[int, datetime, str] | None:
        instance_id = row.instance_id("id")
        if agent is None or not instance_id or not self.is_alive(row, agent):
            return None
        status = row.text("instance_status").lower()
        is_claim = status in (Status.PRIMARY, Status.PROMOTING) or (
            status not in STANDING_BY | LEAVING | {Status.TERMINATED.value} and row.flag("is_primary", True)
        )
        if not (is_claim or self.is_named(agent, instance_id)):
            return None
        return CLAIMED if is_claim else NAMED, born_at(row) or NEVER, instance_id


def born_at(row: Row) -> datetime | None:
    """When the instance came into its role, as far as known."""
    return max(filter(None, map(row.time, ("last_switch_at", "installed_at", "created_at"))), default=None)


def _rows(source: Source, table: str, columns: tuple[str, ...]) -> Iterator[Row]:
    return map(Row, source.rows(table, columns))
