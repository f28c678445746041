"""Launches that EC2 refused, told apart by what has to change before the next try (error codes: EC2 API reference)."""

import re
from datetime import datetime, timedelta

from agents.models import Agent
from instances.models import LaunchFailure, Replica
from notifications.services import notify

Class = LaunchFailure.Class
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=30)
# A person has to act, or the account's limit has to fall free: quick repeats only fill logs.
PAUSES = {Class.QUOTA: timedelta(minutes=10), Class.PERMISSION: LONGEST_PAUSE, Class.IMAGE: LONGEST_PAUSE}
CODES = {
    Class.CAPACITY: (
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientCapacity",
        "SpotMaxPriceTooLow",
        "capacity-not-available",
        "Unsupported",
    ),
    Class.QUOTA: (
        "MaxSpotInstanceCountExceeded",
        "InstanceLimitExceeded",
        "VcpuLimitExceeded",
        "InsufficientFreeAddressesInSubnet",
    ),
    Class.PERMISSION: ("UnauthorizedOperation", "AccessDenied", "AuthFailure", "OptInRequired", "Blocked"),
    Class.IMAGE: (
        "InvalidAMIID",
        "InvalidSnapshot",
        "InvalidSubnetID",
        "InvalidGroup",
        "InvalidKeyPair",
        "InvalidBlock",
    ),
}
_CODE = re.compile(r"[A-Za-z][A-Za-z-]+(?:\.[A-Za-z]+)*")


def classify(message: str) -> tuple[str, str]:
    """The class and AWS's code in an error text: `InsufficientInstanceCapacity: no more` or `(code) when calling …`."""
    words = _CODE.findall(message)
    for error_class, codes in CODES.items():
        for word in words:
            if any(word == code or word.startswith(f"{code}.") for code in codes):
                return error_class, word[:64]
    return Class.OTHER, ""


def record_failure(*, agent: Agent, pool_id: str, message: str, at: datetime) -> LaunchFailure:
    """Remember it for placement and back-off; permission and image errors are told to a person at once."""
    error_class, code = classify(message)
    failure = LaunchFailure.objects.create(
        client_id=agent.client_id,
        agent=agent,
        pool_id=pool_id,
        error_class=error_class,
        error_code=code,
        message=message[:2000],
        at=at,
    )
    if error_class in (Class.PERMISSION, Class.IMAGE):
        notify(
            client=agent.client,
            notification_type="launch_misconfigured",
            severity="error",
            message=f"{agent.logical_agent_id} cannot launch instances ({code}); this needs a person: {message[:300]}",
            agent_id=agent.public_id,
        )
    return failure


def retry_after(*, agent: Agent, at: datetime) -> datetime:
    """When the next standby may be tried: 30 s, 60 s … 30 min after failures in a row, longer where it is hopeless."""
    recent = Replica.objects.filter(agent=agent, created_at__gt=at - timedelta(days=1)).order_by("-id")[:12]
    failed = []
    for replica in recent:
        if replica.status != Replica.Status.FAILED:
            break
        failed.append(replica)
    if not failed:
        return at
    ended: datetime = max(replica.terminated_at or replica.created_at for replica in failed)
    last = LaunchFailure.objects.filter(agent=agent).order_by("-at", "-id").first()
    pause: timedelta = min(FIRST_PAUSE * 2 ** (len(failed) - 1), LONGEST_PAUSE)
    if last and last.at >= ended - timedelta(minutes=1):
        pause = max(pause, PAUSES.get(Class(last.error_class), pause))
    return ended + pause
