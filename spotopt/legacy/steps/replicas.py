from typing import Any

from instances.models import Instance, Replica
from instances.services import roles, usage
from spotopt.common.fields import Mode
from spotopt.legacy.rows import Row, region_of
from spotopt.legacy.steps.instances import begin_usage
from spotopt.legacy.tables import ByPublicId, Owners, time_or_now

Status = Replica.Status


class Replicas(ByPublicId[Replica]):
    """A placeholder never was an EC2 instance: unbound and closed. A living standby without an instance gets one.

    The end of a closed one counts as confirmed, so that no agent is told to terminate it again.
    """

    label = name = "replica_instances"
    columns = (
        "id",
        "agent_id",
        "instance_id",
        "replica_type",
        "pool_id",
        "instance_type",
        "region",
        "az",
        "status",
        "created_at",
        "launched_at",
        "ready_at",
        "promoted_at",
        "terminated_at",
        "created_by",
        "parent_instance_id",
        "is_active",
        "sync_status",
        "sync_latency_ms",
        "last_sync_at",
        "sync_started_at",
        "state_transfer_progress",
        "error_message",
        "hourly_cost",
        "interruption_signal_type",
        "interruption_detected_at",
        "termination_time",
        "tags",
        "termination_attempted_at",
    )
    model = Replica
    compared = ("client_id", "agent_id", "instance_id", "replica_type", "pool_id", "created_at")

    def prepare(self) -> None:
        self._owners = Owners()
        here = Instance.objects.exclude(status=Instance.Status.TERMINATED)
        self._living = {
            (c, i): (agent, s) for c, i, agent, s in here.values_list("client", "instance_id", "agent", "status")
        }
        self._known = set(Instance.objects.values_list("client", "instance_id"))

    def convert(self, row: Row) -> Replica:
        public_id = self.id_of(row)
        agent, client = self._owners.agent(row)
        instance_id = row.instance_id("instance_id")
        instance_type, az = row.type_and_zone()
        replica = Replica(
            public_id=public_id,
            client_id=client,
            agent_id=agent,
            instance_id=instance_id,
            parent_instance_id=row.instance_id("parent_instance_id"),
            replica_type=_one_of(row, "replica_type", Replica.Type.values, Replica.Type.MANUAL),
            status=_one_of(row, "status", Status.values, Status.FAILED),
            sync_status=_one_of(row, "sync_status", Replica.SyncStatus.values, Replica.SyncStatus.INITIALIZING),
            sync_latency_ms=row.whole("sync_latency_ms"),
            state_transfer_progress=row.number("state_transfer_progress", minimum=0, maximum=100, places=2) or 0,
            last_sync_at=row.time("last_sync_at"),
            sync_started_at=row.time("sync_started_at"),
            pool_id=roles.pool_of(mode=Mode.SPOT, instance_type=instance_type, az=az) if row.text("pool_id") else "",
            instance_type=instance_type,
            az=az,
            region=row.text("region", 32) or region_of(az),
            hourly_cost=row.price("hourly_cost"),
            signal_type=row.text("interruption_signal_type", 32),
            signal_at=row.time("interruption_detected_at"),
            deadline_at=row.time("termination_time"),
            created_by=row.text("created_by", 64),
            tags=row.json("tags"),
            error_message=row.prose("error_message"),
            created_at=time_or_now(row, row.time("created_at", "launched_at", "ready_at", "terminated_at"), self.now),
            launched_at=row.time("launched_at"),
            ready_at=row.time("ready_at"),
            promoted_at=row.time("promoted_at"),
            terminated_at=row.time("terminated_at"),
            termination_attempted_at=row.time("termination_attempted_at"),
        )
        self._close(replica, row)
        replica.termination_confirmed = not replica.is_active
        return replica

    def _close(self, replica: Replica, row: Row) -> None:
        """Where its own word is that it stands by, and something else says otherwise."""
        if not replica.is_active:
            return
        owner, role = self._living.get((replica.client_id, replica.instance_id), (None, ""))
        if not replica.instance_id:
            replica.status = Status.FAILED
            row.note("a placeholder instead of an EC2 instance: unbound and closed")
        elif owner == replica.agent_id and role == Instance.Status.PRIMARY:
            replica.status = Status.PROMOTED
            row.note("its instance is the primary: promoted")
        elif not row.flag("is_active", True) or replica.terminated_at or self._is_over(replica, owner, role):
            replica.status = Status.TERMINATED
            row.note("no longer active, or its instance is gone: closed")

    def _is_over(self, replica: Replica, owner: int | None, role: str) -> bool:
        if role:
            return owner != replica.agent_id or role != Instance.Status.REPLICA
        return (replica.client_id, replica.instance_id) in self._known

    def store(self, items: list[Replica]) -> None:
        super().store(items)
        unknown = {
            (r.client_id, r.instance_id): r
            for r in items
            if r.is_active and (r.client_id, r.instance_id) not in self._known
        }
        Instance.objects.bulk_create(Instance(**self._instance(replica)) for replica in unknown.values())
        self._known |= unknown.keys()
        made = Instance.objects.filter(client__in={c for c, _ in unknown}, instance_id__in=[i for _, i in unknown])
        begin_usage([i for i in made if (i.client_id, i.instance_id) in unknown], self.now)

    def _instance(self, replica: Replica) -> dict[str, Any]:
        copied = ("client_id", "agent_id", "instance_id", "instance_type", "az", "region", "pool_id", "created_at")
        return {name: getattr(replica, name) for name in copied} | {
            "status": Instance.Status.REPLICA,
            "mode": Mode.SPOT if replica.pool_id else Mode.UNKNOWN,
            "last_seen_at": replica.ready_at or replica.launched_at or replica.created_at,
            "ledger_from": usage.hour_of(self.now),
        }


def _one_of(row: Row, column: str, words: list[str], otherwise: str) -> str:
    said = row.text(column, 32).lower()
    if said and said not in words:
        row.note(f"{column} is no known word: {otherwise}")
    return said if said in words else otherwise
