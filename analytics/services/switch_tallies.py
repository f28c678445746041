"""Counts of switches per agent, so that no page counts the history. Counted anew with each switch, never counted up."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q

from agents.services.commands import lock_agent
from analytics.models import SwitchTally
from clients.models import Client
from instances.models import Switch
from spotopt.common.db import retried_transaction, upsert

TRIGGERS = tuple(Switch.Trigger.values)
Numbers = dict[str, int]
_COUNTS = {trigger: Count("pk", filter=Q(trigger=trigger)) for trigger in TRIGGERS}


@dataclass(frozen=True)
class Difference:
    client: Client
    agent_pk: int
    found: Numbers
    switches: Numbers

    def __str__(self) -> str:
        return f"{self.client.name}: switches of agent {self.agent_pk} are {self.switches}, not {self.found}"


def on_switch_saved(*, instance: Switch, **kwargs: Any) -> None:
    """Receiver of `post_save`: a switch is recorded under its agent's lock, in the same transaction."""
    _store(client_pk=instance.client_id, agent_pk=instance.agent_id)


def differences(*, clients: Iterable[Client]) -> Iterator[Difference]:
    """Each is looked at again under the agent's lock: switches may be recorded meanwhile."""
    for client in clients:
        stored = {tally.agent_id: _numbers(tally) for tally in SwitchTally.objects.filter(client=client)}
        by_agent = Switch.objects.filter(client=client).values_list("agent_id").order_by().annotate(**_COUNTS)
        counted = {agent_pk: dict(zip(TRIGGERS, numbers, strict=True)) for agent_pk, *numbers in by_agent}
        for agent_pk in sorted(stored.keys() | counted.keys()):
            if stored.get(agent_pk) != counted.get(agent_pk) and (difference := _compared(client, agent_pk)):
                yield difference


def rebuild(*, clients: Iterable[Client]) -> int:
    """Correct all counts that differ; returns of how many agents."""
    number = 0
    for difference in differences(clients=clients):
        _recount(difference.client, difference.agent_pk)
        number += 1
    return number


@retried_transaction
def _recount(client: Client, agent_pk: int) -> None:
    lock_agent(agent_pk)
    _store(client_pk=client.pk, agent_pk=agent_pk)


@retried_transaction
def _compared(client: Client, agent_pk: int) -> Difference | None:
    lock_agent(agent_pk)
    tally = SwitchTally.objects.filter(agent=agent_pk).first() or SwitchTally()
    found, switches = _numbers(tally), _counted(agent_pk)
    return Difference(client, agent_pk, found, switches) if found != switches else None


def _counted(agent_pk: int) -> Numbers:
    return Switch.objects.filter(agent=agent_pk).aggregate(**_COUNTS)


def _numbers(tally: SwitchTally) -> Numbers:
    return {trigger: getattr(tally, trigger) for trigger in TRIGGERS}


def _store(*, client_pk: int, agent_pk: int) -> None:
    tally = SwitchTally(client_id=client_pk, agent_id=agent_pk, **_counted(agent_pk))
    upsert(SwitchTally, [tally], key=["agent"], update=TRIGGERS)
