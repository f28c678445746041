"""`run_decisions`: looks at the whole fleet, writes down what it found, and orders the moves that are worth it."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from django.db import transaction
from django.db.models import F

from agents.models import Agent, Command
from decisions.engine import decide
from decisions.models import AgentState, DecisionRecord
from decisions.services import experience, proposals, shadows
from decisions.services.deciding import rulings
from decisions.services.market import Kind, Market, load_market, with_fresh_predictions
from decisions.services.records import REPEATED_FOR, Evaluation, evaluation_of, record_of
from decisions.services.situations import RECOVERY, situations_of
from instances.services import orders
from spotopt.common import clock
from spotopt.common.db import upsert
from spotopt.common.errors import DomainError
from spotopt.common.fields import Mode

AT_LEAST_EVERY = timedelta(minutes=5)
BATCH = 500
MOVING_AT_ONCE = 0.1  # of a client's agents, but at least one: a wrong price must not move a whole fleet

Seen = Mapping[int, datetime | None]  # when each agent was last evaluated, as this round found it


@dataclass
class Round:
    evaluated: int = 0
    recorded: int = 0
    ordered: int = 0
    proposed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __str__(self) -> str:
        refused = f", {sum(self.refused.values())} refused" if self.refused else ""
        proposed = f", {self.proposed} proposed" if self.proposed else ""
        return (
            f"{self.evaluated} agents evaluated, {self.recorded} new records, {self.ordered} moves ordered{refused}"
            f"{proposed} in {self.seconds:.2f} s"
        )


@dataclass
class _Batch:
    decided: list[tuple[Evaluation, str]] = field(default_factory=list)  # with the id of the record that says so
    moves: list[tuple[Evaluation, DecisionRecord]] = field(default_factory=list)  # to be ordered


def run_round(*, now: datetime | None = None) -> Round:
    """Those whose pools changed price since their last evaluation, and everyone else every AT_LEAST_EVERY.

    Any number of these may run at once: a batch is locked while it is evaluated, and others skip it.
    """
    now, started = now or clock.now(), time.monotonic()
    online = Agent.objects.filter(status=Agent.Status.ONLINE).exclude(instance_id="")
    agents = list(online.select_related("client").with_counts())
    outcome = Round()
    proposals.expire_outdated(now=now)
    if agents:
        experience.gather(running=Counter(a.current_pool_id for a in agents if a.current_mode == Mode.SPOT), now=now)
        market = with_fresh_predictions(load_market(kinds={_kind(agent) for agent in agents}, now=now), now=now)
        budget = MoveBudget(agents)
        seen = dict(AgentState.objects.values_list("agent_id", "evaluated_at"))
        due = _due(agents, market, seen, now)
        while some := list(islice(due, BATCH)):
            batch = _evaluate(some, market, budget, seen, now, outcome)
            _order(batch.moves, budget, outcome)
            outcome.proposed += proposals.follow(batch.decided, now=now)
    outcome.seconds = time.monotonic() - started
    return outcome


def evaluate(agent: Agent, *, now: datetime | None = None) -> Evaluation | None:
    """One agent, for the endpoints; `with_counts()`. None while it is not known where its workload is. No effects."""
    now = now or clock.now()
    market = load_market(kinds={_kind(agent)}, now=now)
    states = AgentState.objects.in_bulk([agent.pk])
    situations = situations_of(agents=[agent], states=states, market=market, now=now)
    found = [evaluation_of(agent, situations[pk], ruling) for pk, ruling in rulings(situations).items()]
    return found[0] if found else None


class MoveBudget:
    """How many more workloads of each client may be set in motion."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        fleet = Counter(agent.client_id for agent in agents)
        open_moves = Command.objects.open().filter(purpose=Command.Purpose.SWITCH).exclude(created_by="manual")
        moving = Counter(open_moves.values_list("client_id", flat=True))
        self._left = {pk: max(1, math.floor(MOVING_AT_ONCE * size)) - moving[pk] for pk, size in fleet.items()}

    def holds(self, agent: Agent) -> tuple[str, ...]:
        return () if self._left[agent.client_id] > 0 else ("as many of the client's agents move as may at once",)

    def spend(self, agent: Agent) -> None:
        self._left[agent.client_id] -= 1

    def give_back(self, agent: Agent) -> None:
        self._left[agent.client_id] += 1


def _kind(agent: Agent) -> Kind:
    return agent.instance_type, agent.region


def _due(agents: Sequence[Agent], market: Market, seen: Seen, now: datetime) -> Iterator[Agent]:
    """Changed pools first."""
    changed, others = [], []
    for agent in agents:
        last, changed_at = seen.get(agent.pk), market.changed_at.get(_kind(agent))
        if last is None or (changed_at is not None and changed_at > last):
            changed.append(agent)
        elif now - last >= AT_LEAST_EVERY:
            others.append(agent)
    yield from changed
    yield from others


@transaction.atomic
def _evaluate(
    agents: Sequence[Agent], market: Market, budget: MoveBudget, seen: Seen, now: datetime, outcome: Round
) -> _Batch:
    """Write records, states and shadows."""
    states = _claim(agents, seen)
    claimed = [agent for agent in agents if agent.pk in states]
    situations = situations_of(agents=claimed, states=states, market=market, now=now)
    ruled = rulings(situations)
    batch = _Batch()
    fresh: list[tuple[Evaluation, DecisionRecord]] = []
    repeated: list[int] = []
    for agent in claimed:
        state = states[agent.pk]
        state.evaluated_at = now
        if (situation := situations.get(agent.pk)) is None:
            continue
        evaluation = evaluation_of(agent, situation, ruled[agent.pk])
        if evaluation.is_ordered and (holds := budget.holds(agent)):
            situation = replace(situation, holds=situation.holds + holds)
            evaluation = Evaluation(agent, situation, decide(situation))
        outcome.evaluated += 1
        state.state = evaluation.state_to_keep.as_json()
        if state.record and _is_repeated(state.record, state.answer, evaluation, now):
            repeated.append(state.record.pk)
            batch.decided.append((evaluation, state.record.public_id))
            continue
        if evaluation.is_ordered:
            budget.spend(agent)
        state.answer = evaluation.answer
        fresh.append((evaluation, record_of(evaluation, source="job", at=now)))
    _save(fresh, repeated, states, now)
    outcome.recorded += len(fresh)
    batch.decided += [(evaluation, record.public_id) for evaluation, record in fresh]
    batch.moves = [(evaluation, record) for evaluation, record in fresh if evaluation.is_ordered]
    shadows.follow([evaluation for evaluation, _ in batch.decided], now=now)
    return batch


def _claim(agents: Sequence[Agent], seen: Seen) -> dict[int, AgentState]:
    """The states of those that nobody else is evaluating, or has since we looked."""
    pks = sorted(agent.pk for agent in agents)
    AgentState.objects.bulk_create([AgentState(agent_id=pk) for pk in pks], ignore_conflicts=True)
    rows = AgentState.objects.select_for_update(skip_locked=True).select_related("record").filter(agent__in=pks)
    return {row.agent_id: row for row in rows if row.evaluated_at == seen.get(row.agent_id)}


def _is_repeated(last: DecisionRecord, answer: str, evaluation: Evaluation, now: datetime) -> bool:
    """A move that is ordered is always news: the last one of its kind was carried out, or refused, since."""
    return not evaluation.is_ordered and answer == evaluation.answer and now - last.created_at < REPEATED_FOR


def _save(
    fresh: list[tuple[Evaluation, DecisionRecord]],
    repeated: list[int],
    states: dict[int, AgentState],
    now: datetime,
) -> None:
    DecisionRecord.objects.bulk_create([record for _, record in fresh])
    written = DecisionRecord.objects.filter(public_id__in=[record.public_id for _, record in fresh])
    pks = dict(written.values_list("public_id", "pk"))  # MySQL's bulk insert does not tell them
    for evaluation, record in fresh:
        record.pk = pks[record.public_id]
        states[evaluation.agent.pk].record_id = record.pk
    DecisionRecord.objects.filter(pk__in=repeated).update(evaluations=F("evaluations") + 1, last_evaluated_at=now)
    # Not bulk_update, whose CASE for each row takes three quarters of a round
    upsert(AgentState, states.values(), key=["agent"], update=["state", "evaluated_at", "record", "answer"])


def _order(moves: list[tuple[Evaluation, DecisionRecord]], budget: MoveBudget, outcome: Round) -> None:
    """Each in a transaction of its own, under the agent's lock, where everything is looked at once more."""
    for evaluation, record in moves:
        try:
            command = order_move(evaluation, record)
        except DomainError as refusal:
            budget.give_back(evaluation.agent)
            outcome.refused[refusal.code] += 1
            DecisionRecord.objects.filter(pk=record.pk).update(reason=f"{record.reason} Not ordered: {refusal.message}")
            continue
        outcome.ordered += 1
        DecisionRecord.objects.filter(pk=record.pk).update(command_id=command.public_id)


def order_move(evaluation: Evaluation, record: DecisionRecord) -> Command:
    """Raises what `orders.automatic_switch` raises."""
    decision = evaluation.decision
    return orders.automatic_switch(
        agent_pk=evaluation.agent.pk,
        seen_instance_id=evaluation.agent.instance_id,
        target=proposals.target_of(evaluation),
        reason=decision.reason,
        metadata={RECOVERY: decision.is_recovery, "decision_id": record.public_id},
    )
