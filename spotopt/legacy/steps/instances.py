from collections.abc import Iterable
from typing import Any

from agents.models import Agent
from instances.models import Instance, UsageInterval
from instances.services import roles, usage
from spotopt.legacy.rows import Row, Skip, region_of
from spotopt.legacy.steps.primaries import CLAIM_COLUMNS, LEAVING, Primaries, born_at
from spotopt.legacy.tables import Key, Owners, Table, time_or_now

Status = Instance.Status
FACTS = ("instance_type", "region", "az", "ami_id", "current_mode", "current_pool_id")


class Instances(Table[Instance]):
    """Nothing is terminated on the old server's word: what it left on its way out is held until an operator looked.

    The usage journal begins with the import, and counts once an instance is heard here.
    """

    label = name = "instances"
    columns = (*CLAIM_COLUMNS, *FACTS, "updated_at", "termination_attempted_at")
    model = Instance
    compared = ("agent_id", "status", "mode", "instance_type", "region", "az", "pool_id", "ami_id")

    def prepare(self) -> None:
        self.owners = Owners()
        self.primaries = Primaries(self.source, self.owners)

    def convert(self, row: Row) -> Instance:
        client = self.owners.client(row)
        instance_id = row.instance_id("id")
        if not instance_id:
            raise Skip("no EC2 instance id")
        agent = self.primaries.agent_of(row)
        if agent is None and row.has("agent_id"):
            row.note("its agent is not there: kept without one")
        instance = Instance(
            client_id=client,
            agent_id=agent,
            instance_id=instance_id,
            created_at=time_or_now(row, row.time("created_at", "installed_at", "updated_at"), self.now),
            last_switch_at=row.time("last_switch_at"),
            last_seen_at=born_at(row),
            **facts_of(row),
        )
        if self.primaries.is_alive(row, agent):
            instance.status = self._role(row, instance)
        else:
            _end(instance, row)
        if instance.status in LEAVING:
            instance.termination_hold = True
        instance.ledger_from = usage.hour_of(self.now) if instance.status != Status.TERMINATED else None
        return instance

    def key_of(self, item: Instance) -> Key:
        return item.client_id, item.instance_id

    def existing(self, items: list[Instance]) -> dict[Key, Instance]:
        wanted = {self.key_of(item) for item in items}
        found = Instance.objects.filter(client__in={c for c, _ in wanted}, instance_id__in=[i for _, i in wanted])
        return {key: item for item in found if (key := self.key_of(item)) in wanted}

    def store(self, items: list[Instance]) -> None:
        super().store(items)
        begin_usage(list(self.existing(items).values()), self.now)

    def _role(self, row: Row, instance: Instance) -> Status:
        """Of a living one."""
        said = row.text("instance_status").lower()
        if instance.agent_id is None:
            return Status(said) if said in {Status.REPLICA, *LEAVING} else Status.PRIMARY
        if self.primaries.of(instance.agent_id) == instance.instance_id:
            if said != Status.PRIMARY:
                row.note(f"{said or 'no status'} is the agent's only living instance: it is the primary")
            return Status.PRIMARY
        if said == Status.REPLICA or said in LEAVING:
            return Status(said)
        row.note("one of several living primaries, and not the newest: a zombie, held until an operator looked")
        return Status.ZOMBIE


class OwnInstances(Instances):
    """Of agents whose instance has no row of its own: the agents table knows enough."""

    label = "instances of agents"
    name = "agents"
    columns = (  # type: ignore[assignment]
        "id",
        "client_id",
        "instance_id",
        "last_heartbeat_at",
        "created_at",
        "installed_at",
        "last_switch_at",
        "private_ip",
        "public_ip",
        *FACTS,
    )

    def prepare(self) -> None:
        super().prepare()
        deleted = Agent.objects.filter(status=Agent.Status.DELETED, merged_into=None)
        self._deleted = set(deleted.values_list("pk", flat=True))

    def convert(self, row: Row) -> Instance:
        client = self.owners.client(row)
        instance_id = row.instance_id("instance_id")
        agent = self.owners.find_agent(row.text("id"), client=client)
        if agent is None:
            raise Skip("its agent is not there")
        if agent in self._deleted:
            raise Skip("its agent was deleted")
        if not instance_id:
            raise Skip("no EC2 instance id")
        primary = self.primaries.of(agent)
        is_primary = primary == instance_id if primary else self.primaries.is_named(agent, instance_id)
        return Instance(
            client_id=client,
            agent_id=agent,
            instance_id=instance_id,
            status=Status.PRIMARY if is_primary else Status.ZOMBIE,
            termination_hold=not is_primary,
            created_at=time_or_now(row, row.time("created_at", "installed_at", "last_heartbeat_at"), self.now),
            last_switch_at=row.time("last_switch_at"),
            last_seen_at=row.time("last_heartbeat_at") or born_at(row),
            private_ip=row.text("private_ip", 45),
            public_ip=row.text("public_ip", 45),
            ledger_from=usage.hour_of(self.now),
            **facts_of(row),
        )

    def parts(self) -> Iterable[Iterable[dict[str, Any]]]:
        listed = {(row["client_id"], row["id"]) for row in self.source.rows("instances", ("client_id", "id"))}
        rows = self.source.rows(self.name, self.columns, order=self.order)
        return [[row for row in rows if (row["client_id"], row["instance_id"]) not in listed]]


def facts_of(row: Row) -> dict[str, Any]:
    """The pool follows from type, zone and mode."""
    instance_type, az = row.type_and_zone(pool_id="current_pool_id")
    mode = row.mode("current_mode")
    return {
        "instance_type": instance_type,
        "az": az,
        "region": row.text("region", 32) or region_of(az),
        "ami_id": row.text("ami_id", 64),
        "mode": mode,
        "pool_id": roles.pool_of(mode=mode, instance_type=instance_type, az=az),
    }


def begin_usage(instances: list[Instance], at: Any) -> None:
    """Open the journal of living instances, and point agents at their primaries."""
    UsageInterval.objects.bulk_create(
        UsageInterval(instance=i, role=role, mode=i.mode, pool_id=i.pool_id, started_at=at)
        for i in instances
        if (role := usage.ROLES.get(Status(i.status)))
    )
    primaries = {i.agent_id: i for i in instances if i.is_primary and i.agent_id}
    agents = list(Agent.objects.filter(pk__in=primaries))
    for agent in agents:
        primary = primaries[agent.pk]
        for name in ("instance_id", "instance_type", "region", "az", "ami_id"):
            setattr(agent, name, getattr(primary, name))
        agent.current_mode, agent.current_pool_id = primary.mode, primary.pool_id
    copied = ["instance_id", "instance_type", "region", "az", "ami_id", "current_mode", "current_pool_id"]
    Agent.objects.bulk_update(agents, copied, batch_size=200)


def _end(instance: Instance, row: Row) -> None:
    instance.status = Status.TERMINATED
    instance.terminated_at = row.time("terminated_at")
    instance.termination_attempted_at = row.time("termination_attempted_at")
    instance.termination_confirmed = bool(instance.terminated_at) or row.flag("termination_confirmed", False)
    instance.termination_hold = not instance.termination_confirmed
