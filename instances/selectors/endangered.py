"""Which agents the failover sweeper has to look at; everything here is a few indexed statements every few seconds."""

from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Q

from agents.models import Agent, Command
from instances.models import Instance, InterruptionEpisode, Replica
from instances.services.silence import HEARTBEAT

Status = Replica.Status


def agents_to_sweep(*, at: datetime) -> list[int]:
    """Primary keys: open signals, standbys without a primary that is heard, lost or surplus standbys, manual mode."""
    silent_since = at - HEARTBEAT
    signalled = InterruptionEpisode.objects.filter(open_for__isnull=False).values_list("agent_id", flat=True)
    found = set(signalled) | _with_standby_in_need(silent_since) | _without_their_standby()
    return sorted(found)


def _with_standby_in_need(silent_since: datetime) -> set[int]:
    active = Replica.objects.active()
    silent_instances = Instance.objects.filter(
        client_id=OuterRef("client_id"), instance_id=OuterRef("instance_id"), last_seen_at__lt=silent_since
    )
    open_signals = InterruptionEpisode.objects.filter(open_for=OuterRef("agent_id"))
    dead_launches = Command.objects.filter(public_id=OuterRef("launch_command_id"), status__in=Command.DEAD)
    in_need = active.filter(
        Q(agent__last_heartbeat_at__lt=silent_since)
        | Q(agent__instance_id="")
        | Exists(silent_instances)
        | (Q(instance_id="") & ~Q(launch_command_id="") & Exists(dead_launches))
        | (~Q(replica_type=Replica.Type.MANUAL) & ~Exists(open_signals))
    )
    return set(in_need.values_list("agent_id", flat=True))


def _without_their_standby() -> set[int]:
    """Manual mode keeps exactly one."""
    kept = Count("replicas", filter=Q(replicas__status__in=Replica.ACTIVE))
    manual = Agent.objects.living().filter(manual_replica_enabled=True, enabled=True)
    return set(manual.annotate(kept=kept).exclude(kept=1).values_list("pk", flat=True))
