from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from agents.models import Agent
from spotopt.legacy.rows import Row, Skip
from spotopt.legacy.steps.clients import wait_seconds
from spotopt.legacy.tables import ByPublicId, Owners, time_or_now

NEVER = datetime.min.replace(tzinfo=UTC)
LIMITS = {  # of the settings (dashboard-api 2.5): lowest, highest, decimals
    "min_savings_percent": (0, 100, 2),
    "risk_threshold": (0, 1, 2),
    "max_switches_per_week": (0, 1000, 0),
    "max_switches_per_day": (0, 1000, 0),
    "min_pool_duration_hours": (0, 720, 0),
}
COLUMNS = (
    "id",
    "client_id",
    "logical_agent_id",
    "hostname",
    "instance_id",
    "agent_version",
    "config_version",
    "status",
    "enabled",
    "last_heartbeat_at",
    "auto_switch_enabled",
    "auto_terminate_enabled",
    "terminate_wait_seconds",
    "replica_enabled",
    "manual_replica_enabled",
    "installed_at",
    "created_at",
    "updated_at",
    "last_switch_at",
    "interruption_handled_count",
    "last_failover_at",
    "terminated_at",
    "last_rebalance_recommendation_at",
    "last_cleanup_at",
    "metadata",
)


class Agents(ByPublicId[Agent]):
    """With their ids and configs. They are offline until they are heard here, and get their instance in a later step.

    Of several living ones with one logical id the one heard last remains; the ids of the others go on answering, as
    that one.
    """

    label = name = "agents"
    columns = COLUMNS
    model = Agent
    compared = ("client_id", "logical_agent_id", "enabled", "terminate_wait_seconds", "created_at", *LIMITS)

    def prepare(self) -> None:
        self._owners = Owners()
        self._configs = {row["agent_id"]: row for row in self.source.rows("agent_configs", ("agent_id", *LIMITS))}
        here = Agent.objects.exclude(live_logical_id=None).values_list("client", "live_logical_id", "public_id")
        self._winners = {(client, logical): public_id for client, logical, public_id in here}

    def parts(self) -> Iterator[Iterable[dict[str, Any]]]:
        """Those that remain first: the others point at them."""
        rows = list(self.source.rows(self.name, self.columns, order=self.order))
        for values in sorted(rows, key=_heard_last, reverse=True):
            row = Row(values)
            client = self._owners.clients.get(str(values["client_id"]))
            if client is not None and not _is_deleted(row) and values["id"]:
                self._winners.setdefault((client, _logical_id(row)), str(values["id"]))
        remaining = set(self._winners.values())
        yield [row for row in rows if row["id"] in remaining]
        yield [row for row in rows if row["id"] not in remaining]
        for agent_id in self._configs.keys() - {row["id"] for row in rows}:
            self.tally.note("a config without its agent: left out", str(agent_id)[:80])

    def convert(self, row: Row) -> Agent:
        public_id, client = self.id_of(row), self._owners.client(row)
        logical_id = _logical_id(row)
        agent = Agent(
            public_id=public_id,
            client_id=client,
            logical_agent_id=logical_id,
            status=Agent.Status.OFFLINE,
            enabled=row.flag("enabled", True),
            last_heartbeat_at=row.time("last_heartbeat_at"),
            hostname=row.text("hostname"),
            agent_version=row.text("agent_version", 32),
            metadata=row.json("metadata"),
            config_version=row.whole("config_version") or 1,
            terminate_wait_seconds=wait_seconds(row, "terminate_wait_seconds"),
            last_switch_at=row.time("last_switch_at"),
            last_failover_at=row.time("last_failover_at"),
            last_rebalance_recommendation_at=row.time("last_rebalance_recommendation_at"),
            last_cleanup_at=row.time("last_cleanup_at"),
            interruptions_handled=row.whole("interruption_handled_count") or 0,
            created_at=time_or_now(
                row, row.time("created_at", "installed_at", "updated_at", "last_heartbeat_at"), self.now
            ),
        )
        agent.installed_at = row.time("installed_at") or agent.created_at
        _set_switches(agent, row)
        self._configure(agent, row)
        self._end(agent, row)
        return agent

    def _configure(self, agent: Agent, row: Row) -> None:
        """What is not set keeps the model's default."""
        config = Row(self._configs.get(row.values["id"], {}), row.note)
        for name, (minimum, maximum, places) in LIMITS.items():
            value = config.number(name, minimum=minimum, maximum=maximum, places=places)
            if value is not None:
                setattr(agent, name, value if places else int(value))

    def _end(self, agent: Agent, row: Row) -> None:
        if _is_deleted(row):
            agent.status, agent.deleted_at = Agent.Status.DELETED, row.time("terminated_at")
            return
        winner = self._winners[agent.client_id, agent.logical_agent_id]
        if winner == agent.public_id:
            return
        row.note("another agent of the same logical id was heard later: goes on as that one")
        agent.merged_into = Agent.objects.filter(public_id=winner).first()
        agent.status, agent.deleted_at = Agent.Status.DELETED, self.now
        if agent.merged_into is None:
            raise Skip("the agent of the same logical id was not moved")


def _set_switches(agent: Agent, row: Row) -> None:
    """Auto-switch is on by default and manual replica mode never: where both are on, somebody chose the latter."""
    agent.auto_switch_enabled = row.flag("auto_switch_enabled", True)
    agent.auto_terminate_enabled = row.flag("auto_terminate_enabled", True)
    agent.replica_enabled = row.flag("replica_enabled", False)
    agent.manual_replica_enabled = row.flag("manual_replica_enabled", False)
    if agent.auto_switch_enabled and agent.manual_replica_enabled:
        row.note("auto-switch and manual replica mode were both on: auto-switch was turned off")
        agent.auto_switch_enabled = False


def _logical_id(row: Row) -> str:
    found = row.text("logical_agent_id")
    if not found:
        row.note("no logical id: its id stands for it")
    return found or row.text("id")


def _is_deleted(row: Row) -> bool:
    return row.text("status").lower() == Agent.Status.DELETED


def _heard_last(values: dict[str, Any]) -> tuple[datetime, datetime, str]:
    row = Row(values)
    return row.time("last_heartbeat_at") or NEVER, row.time("created_at") or NEVER, str(values["id"])
