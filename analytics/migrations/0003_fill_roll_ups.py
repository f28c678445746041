"""Sums of what is in the ledger and the switches already. `show_ledger --repair` does the same at any time."""

from django.db import migrations
from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate

AMOUNTS = ("seconds", "priced_seconds", "paid_usd", "baseline_usd")
TRIGGERS = ("manual", "automatic", "emergency", "unknown")
BATCH = 500


def fill(apps, schema_editor):
    ledger, switches = apps.get_model("analytics", "UsageLedger"), apps.get_model("instances", "Switch")
    days, tallies = apps.get_model("analytics", "ClientDay"), apps.get_model("analytics", "SwitchTally")
    for client in apps.get_model("clients", "Client").objects.values_list("pk", flat=True):
        sums = {f"{name}_sum": Sum(name) for name in AMOUNTS}
        by_day = ledger.objects.filter(client=client).values(day=TruncDate("hour")).order_by().annotate(**sums)
        days.objects.bulk_create(
            [
                days(client_id=client, day=row["day"], **{name: row[f"{name}_sum"] for name in AMOUNTS})
                for row in by_day
            ],
            batch_size=BATCH,
        )
        counts = {trigger: Count("pk", filter=Q(trigger=trigger)) for trigger in TRIGGERS}
        by_agent = switches.objects.filter(client=client).values("agent_id").order_by().annotate(**counts)
        tallies.objects.bulk_create([tallies(client_id=client, **row) for row in by_agent], batch_size=BATCH)


def empty(apps, schema_editor):
    for name in ("ClientDay", "SwitchTally"):
        apps.get_model("analytics", name).objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0002_roll_ups"),
        ("instances", "0003_statistics_indexes"),
    ]

    operations = [migrations.RunPython(fill, empty)]
