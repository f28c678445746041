from django.db import models

from clients.models import Client
from spotopt.common import clock
from spotopt.common.db import ExactCharField


class StreamTicket(models.Model):
    """Opens one event stream within a minute; browsers' EventSource cannot send a token (dashboard-api 2.9)."""

    ticket_hash = ExactCharField(max_length=64, unique=True)
    client = models.ForeignKey(Client, models.CASCADE, null=True, related_name="+")  # null: an operator's
    operator = models.CharField(max_length=64, default="", blank=True)
    expires_at = models.DateTimeField(db_index=True)  # old ones are deleted when new ones are made

    class Meta:
        db_table = "stream_tickets"

    def __str__(self) -> str:
        return f"until {clock.isoformat(self.expires_at)}"


class StreamProcess(models.Model):
    """A server process with open event streams, renewed while it has some: what /api/events/stats adds up."""

    process_id = ExactCharField(max_length=64, unique=True)
    connections = models.PositiveIntegerField()
    client_ids = models.JSONField(default=list)
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "stream_processes"

    def __str__(self) -> str:
        return self.process_id
