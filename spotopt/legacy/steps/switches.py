from django.db.models import Q

from analytics.services import switch_tallies
from clients.models import Client
from instances.models import Switch
from instances.services import roles
from spotopt.legacy.rows import Row, Skip
from spotopt.legacy.tables import Key, Owners, Table

Trigger = Switch.Trigger
TRIGGERS = {
    "manual": Trigger.MANUAL,
    "model": Trigger.AUTOMATIC,
    "auto": Trigger.AUTOMATIC,
    "automatic": Trigger.AUTOMATIC,
    "emergency": Trigger.EMERGENCY,
}
SIDE = ("instance_id", "instance_type", "region", "az", "mode", "pool_id", "ami_id")
TIMES = ("initiated_at", "instance_launched_at", "instance_ready_at", "old_terminated_at", "ami_created_at")


class Switches(Table[Switch]):
    """One record per agent, old and new instance: the old server booked repeated reports again."""

    label = name = "switches"
    columns = (
        "id",
        "client_id",
        "agent_id",
        *(f"{end}_{name}" for end in ("old", "new") for name in SIDE),
        "on_demand_price",
        "old_spot_price",
        "new_spot_price",
        "savings_impact",
        "event_trigger",
        "trigger_type",
        "snapshot_used",
        "snapshot_id",
        *TIMES,
        "timestamp",
        "downtime_seconds",
        "success",
        "error_message",
        "created_at",
    )
    order = ("id",)
    model = Switch
    compared = (
        "client_id",
        "trigger",
        "created_at",
        "old_pool_id",
        "new_pool_id",
        "ondemand_price",
        "savings_impact",
        "success",
    )

    def prepare(self) -> None:
        self._owners = Owners()

    def convert(self, row: Row) -> Switch:
        public_id = row.key("id")
        client = self._owners.client(row)
        agent, _ = self._owners.agent(row, client=client)
        old_id, new_id = row.instance_id("old_instance_id"), row.instance_id("new_instance_id")
        created_at = row.time("timestamp", "initiated_at", "created_at", "instance_ready_at")
        if not public_id:
            raise Skip("no id")
        if not (old_id and new_id):
            raise Skip("it does not say from which instance to which")
        if created_at is None:
            raise Skip("no time")
        switch = Switch(
            public_id=public_id,
            client_id=client,
            agent_id=agent,
            source=Switch.Source.REPORTED,
            trigger=_trigger(row),
            old_instance_id=old_id,
            new_instance_id=new_id,
            ondemand_price=row.price("on_demand_price"),
            old_spot_price=row.price("old_spot_price"),
            new_spot_price=row.price("new_spot_price"),
            savings_impact=row.number("savings_impact", minimum=-10_000, maximum=10_000, places=6),
            downtime_seconds=row.whole("downtime_seconds") or None,
            success=row.flag("success", True),
            error_message=row.prose("error_message"),
            created_at=created_at,
            **{name: row.time(name) for name in TIMES},
        )
        if snapshot_id := row.text("snapshot_id", 128):
            switch.snapshot = {"used": row.flag("snapshot_used", False), "snapshot_id": snapshot_id}
        for end in ("old", "new"):
            _describe(switch, row, end)
        return switch

    def key_of(self, item: Switch) -> Key:
        return item.agent_id, item.old_instance_id, item.new_instance_id

    def existing(self, items: list[Switch]) -> dict[Key, Switch]:
        """By the move as well, which an agent may have reported here."""
        by_id = Q(public_id__in=[item.public_id for item in items])
        of_move = Q(agent__in={item.agent_id for item in items}, old_instance_id__in=[i.old_instance_id for i in items])
        return {self.key_of(item): item for item in Switch.objects.filter(by_id | of_move)}

    def run(self) -> None:
        super().run()
        switch_tallies.rebuild(clients=Client.objects.filter(pk__in=self._owners.clients.values()))


def _describe(switch: Switch, row: Row, end: str) -> None:
    instance_type, az = row.type_and_zone(prefix=f"{end}_")
    mode = row.mode(f"{end}_mode")
    facts = {
        "instance_type": instance_type,
        "az": az,
        "region": row.text(f"{end}_region", 32),
        "ami_id": row.text(f"{end}_ami_id", 64),
        "mode": mode,
        "pool_id": roles.pool_of(mode=mode, instance_type=instance_type, az=az),
    }
    for name, value in facts.items():
        setattr(switch, f"{end}_{name}", value)


def _trigger(row: Row) -> str:
    said = row.text("event_trigger", 32).lower() or row.text("trigger_type", 32).lower()
    if said and said not in TRIGGERS:
        row.note("trigger is no known word: unknown")
    return TRIGGERS.get(said, Trigger.UNKNOWN)
