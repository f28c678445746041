"""What people do with moves that wait for them, in the console and through the API."""

from agents.models import Agent, Command
from agents.services.commands import lock_agent
from clients.principals import Principal
from decisions.errors import AlreadyDecided, OutOfDate, RecommendationNotFound
from decisions.models import DecisionRecord, Recommendation
from decisions.services.proposals import close, proposed_target, target_of, why_outdated
from decisions.services.rounds import evaluate
from decisions.services.situations import RECOVERY
from instances.services import orders
from spotopt.common import clock
from spotopt.common.db import retried_transaction
from spotopt.common.errors import DomainError

Status = Recommendation.Status


def find_recommendation(*, who: Principal, recommendation_id: str) -> Recommendation:
    """Raises RecommendationNotFound, for another tenant's as well."""
    found = Recommendation.objects.for_principal(who).filter(public_id=recommendation_id).first()
    if found is None:
        raise RecommendationNotFound
    return found


def approve(*, recommendation: Recommendation, actor: str) -> Recommendation:
    """Order the move, once, if the engine would still decide so within the agent's limits (agent-api 1.11).

    Raises AlreadyDecided; OutOfDate when it is not current any more, which ends it; or what the order was refused for.
    """
    decided, refusal = _approve(recommendation, actor)
    if refusal:
        raise refusal
    return decided


@retried_transaction
def reject(*, recommendation: Recommendation, actor: str, note: str = "") -> Recommendation:
    """The same move is not proposed again for a day. Raises AlreadyDecided."""
    agent = lock_agent(recommendation.agent_id)
    waiting = _waiting(recommendation)
    close(waiting, agent, status=Status.REJECTED, note=note, actor=actor)
    return waiting


@retried_transaction
def _approve(recommendation: Recommendation, actor: str) -> tuple[Recommendation, DomainError | None]:
    """A refusal is returned, not raised: what is written of it must stay."""
    agent = lock_agent(recommendation.agent_id)
    waiting = _waiting(recommendation)
    try:
        command = _order(waiting, agent, actor)
    except DomainError as refusal:
        close(waiting, agent, status=Status.EXPIRED, note=refusal.message, actor=actor)
        return waiting, refusal
    waiting.command_id = command.public_id
    close(waiting, agent, status=Status.APPROVED, actor=actor)
    DecisionRecord.objects.filter(public_id=waiting.decision_id).update(command_id=command.public_id)
    return waiting, None


def _waiting(recommendation: Recommendation) -> Recommendation:
    """As it is now, under the agent's lock."""
    found = Recommendation.objects.select_related("client", "agent").get(pk=recommendation.pk)
    if found.status != Status.PENDING:
        raise AlreadyDecided(found.status, found.command_id)
    return found


def _order(recommendation: Recommendation, agent: Agent, actor: str) -> Command:
    now = clock.now()
    if reason := why_outdated(recommendation, agent, now):
        raise OutOfDate(reason)
    evaluation = evaluate(Agent.objects.with_counts().select_related("client").get(pk=agent.pk), now=now)
    if evaluation is None or not evaluation.moves or target_of(evaluation) != proposed_target(recommendation):
        raise OutOfDate(evaluation.decision.reason if evaluation else "It is not known where the workload runs")
    return orders.approved_switch(
        agent_pk=agent.pk,
        seen_instance_id=recommendation.instance_id,
        target=proposed_target(recommendation),
        reason=evaluation.decision.reason,
        metadata={
            RECOVERY: evaluation.decision.is_recovery,
            "decision_id": recommendation.decision_id,
            "recommendation_id": recommendation.public_id,
            "approved_by": actor,
        },
    )
