"""Who is dead, told by a server that may have been deaf.

After the server, its database or its network was away, or its clock was set, everybody looks silent until the next
heartbeat, and whoever calls first proves nothing about the others. So a primary and its standby are witnesses for each
other, and it takes two looks: one was heard a heartbeat after the other fell silent; and once more a heartbeat after
that was noticed. Between the two a server that had been deaf would have heard both.

A real death waits hardly longer for it, as the first look does not wait for AGENT_HEARTBEAT_TIMEOUT.
"""

from datetime import datetime, timedelta

from django.conf import settings

from instances.models import Instance

HEARTBEAT = timedelta(seconds=45)  # agents send one every 30 s (agent-api 1.1)
NOTICED_FOR = timedelta(seconds=60)


def is_overdue(heard_at: datetime | None, *, at: datetime) -> bool:
    return heard_at is not None and at - heard_at > HEARTBEAT


def is_dead(instance: Instance, *, heard_at: datetime | None, witness_heard_at: datetime | None, at: datetime) -> bool:
    """`witness_heard_at`: of the other one of primary and standby. Notes the first look; callers hold the agent's lock.

    Never heard is not dead: many images carry no agent.
    """
    if heard_at is None or witness_heard_at is None or witness_heard_at - heard_at < HEARTBEAT:
        return False
    noticed_at = instance.silence_noticed_at
    if noticed_at is None or not heard_at < noticed_at <= at:  # of an earlier silence, or by a clock that was wrong
        instance.silence_noticed_at = at
        instance.save(update_fields=["silence_noticed_at"])
        return False
    is_long = at - heard_at > timedelta(seconds=settings.AGENT_HEARTBEAT_TIMEOUT)
    return is_long and at - noticed_at >= NOTICED_FOR and witness_heard_at - noticed_at >= HEARTBEAT
