"""The usage journal: from when to when an instance ran, in which role, mode and pool (dashboard-api 5.3).

The ledger is computed from it. Whatever changes the journal, or a price, lowers `Instance.ledger_from` to the hour
from which the ledger is no longer right; `analytics.services.ledger.roll_up` starts again from there.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Min, Q
from django.db.models.functions import Coalesce, Least

from agents.models import Agent
from instances.models import Instance, UsageInterval

Status, Role = Instance.Status, UsageInterval.Role

# A launch counts from its confirmation, which gives it another status; what is on its way out is still billed.
ROLES = {
    Status.PRIMARY: Role.PRIMARY,
    Status.REPLICA: Role.REPLICA,
    Status.PROMOTING: Role.REPLICA,
    Status.ZOMBIE: Role.ZOMBIE,
    Status.TERMINATING: Role.ZOMBIE,
}

# Reports and changes of the last minutes may still be on their way into the database; until then no hour is final.
FINAL_AFTER = timedelta(minutes=10)


def track(*, instance: Instance, at: datetime) -> None:
    """Bring the journal in agreement with the instance's status, mode and pool from `at` on.

    `at` may lie in the past (a termination that is confirmed late): what the journal says of the time since is
    dropped. The caller holds the agent's lock and has saved the instance in the same transaction.
    """
    role = ROLES.get(Status(instance.status))
    latest = instance.usage.order_by("-started_at").first()
    if latest is None and role is None:
        return
    if latest and latest.ended_at is None and _says(latest, role, instance):
        return
    if latest and latest.ended_at and role:
        # EC2 starts no terminated instance again: one that was given up and calls after all ran all the time.
        at = min(at, latest.ended_at)
    if latest:
        _cut(instance, at)
    if role:
        _open(instance, role, at)
    ledger_wrong_from([instance.pk], since=at)


def close_silent(*, instance: Instance, heard_at: datetime | None) -> None:
    """Somebody else took over from a silent primary: it counts as one until last heard + timeout (5.3).

    What it was from then on is for `track` to say, which is called next with its new role.
    """
    end = silent_from(heard_at)
    latest = instance.usage.order_by("-started_at").first()
    if end is None or latest is None or latest.ended_at or latest.started_at >= end:
        return
    _cut(instance, end)
    ledger_wrong_from([instance.pk], since=end)


def stop_unheard(*, instance: Instance, agent: Agent, at: datetime) -> None:
    """Its agent was deleted, and nobody will tell of it any more. One that was heard ends by its silence (5.3)."""
    latest = instance.usage.filter(ended_at=None, started_at__lt=at).first()
    if latest is None or last_heard(instance=instance, agent=agent):
        return
    _cut(instance, at)
    ledger_wrong_from([instance.pk], since=at)


def correct_mode(*, instance: Instance) -> None:
    """Mode, type or zone were unknown or wrong, and EC2 never changes them: the whole journal gets the right ones."""
    since = instance.usage.aggregate(since=Min("started_at"))["since"]
    if since is None:
        return
    instance.usage.update(mode=instance.mode, pool_id=instance.pool_id)
    ledger_wrong_from([instance.pk], since=since)


def ledger_wrong_from(instance_pks: Iterable[int], *, since: datetime) -> None:
    """Have the ledger of these instances computed again from the hour of `since` on.

    The new value is computed in SET and not compared in WHERE: InnoDB may check a WHERE against the last committed
    version of a row that a roll-up has locked, and would skip it without waiting.
    """
    hour = hour_of(since)
    rows = Instance.objects.filter(pk__in=list(instance_pks))
    rows.update(ledger_from=Least(Coalesce(F("ledger_from"), hour), hour))


def silent_from(heard_at: datetime | None) -> datetime | None:
    """The moment from which an instance last heard at `heard_at` counts as silent; None if it was never heard."""
    return heard_at + timedelta(seconds=settings.AGENT_HEARTBEAT_TIMEOUT) if heard_at else None


def last_heard(*, instance: Instance, agent: Agent | None) -> datetime | None:
    """A primary's signs of life are noted on its agent, everybody else's on the instance."""
    of_agent = agent.last_heartbeat_at if agent and agent.instance_id == instance.instance_id else None
    heard = [at for at in (of_agent, instance.last_seen_at) if at]
    return max(heard, default=None)


def final_before(now: datetime) -> datetime:
    """Ledger rows of hours before this one are not computed again unless `ledger_wrong_from` says so."""
    return hour_of(now - FINAL_AFTER)


def hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _says(interval: UsageInterval, role: UsageInterval.Role | None, instance: Instance) -> bool:
    return (interval.role, interval.mode, interval.pool_id) == (role, instance.mode, instance.pool_id)


def _cut(instance: Instance, at: datetime) -> None:
    instance.usage.filter(started_at__gte=at).delete()
    instance.usage.filter(Q(ended_at=None) | Q(ended_at__gt=at), started_at__lt=at).update(ended_at=at)


def _open(instance: Instance, role: UsageInterval.Role, at: datetime) -> None:
    """A role that was laid down at this very moment goes on: a move between two agents is no break in the use."""
    same = instance.usage.filter(ended_at=at, role=role, mode=instance.mode, pool_id=instance.pool_id)
    if not same.update(ended_at=None):
        instance.usage.create(role=role, mode=instance.mode, pool_id=instance.pool_id, started_at=at)
