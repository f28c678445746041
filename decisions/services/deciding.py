"""The one way to a decision, for the jobs and the endpoints: the built-in engine, and the uploaded one that is live."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from decisions import store
from decisions.engine import VERSION, Action, Decision, LimitViolated, PriceStep, Situation, decide, overruled
from decisions.models import UploadedEngine
from decisions.services.details import numbers_of
from decisions.services.supervision import is_resting, note_failure, note_success
from decisions.services.workers import Kind, Runnable, WorkerFailed, started
from spotopt.common import clock
from spotopt.common.wire import clean_text

BUILT_IN = "built-in"
SECONDS = 5.0  # for a batch
BYTES_PER_ANSWER, OTHER_BYTES = 2000, 2000
MOST_CHARACTERS = 500  # of a reason


@dataclass(frozen=True, slots=True)
class Ruling:
    decision: Decision
    engine: str = BUILT_IN
    engine_version: str = VERSION


def rulings(situations: Mapping[int, Situation]) -> Mapping[int, Ruling]:
    """By agent. The uploaded engine is asked once for all; if anything is wrong with its answer, none of it counts."""
    built_in = {pk: decide(situation) for pk, situation in situations.items()}
    engine = live_engine() if situations else None
    if engine is None or is_resting(engine):
        return {pk: Ruling(decision) for pk, decision in built_in.items()}
    try:
        decisions = asked(engine, situations, built_in)
    except WorkerFailed as failure:
        note_failure(engine, str(failure))
        return {pk: Ruling(decision) for pk, decision in built_in.items()}
    note_success(engine)
    return {pk: Ruling(decision, engine.name[:64], engine.version) for pk, decision in decisions.items()}


def live_engine() -> UploadedEngine | None:
    """No statement where uploaded engines are not allowed: the setting is also the way to be rid of one at once."""
    if not settings.ALLOW_ENGINE_UPLOADS:
        return None
    return UploadedEngine.objects.filter(status=UploadedEngine.Status.ACTIVE).first()


def asked(
    engine: UploadedEngine, situations: Mapping[int, Situation], built_in: Mapping[int, Decision]
) -> Mapping[int, Decision]:
    """Raises WorkerFailed."""
    file = Runnable(engine.name, store.engine_path_of(engine.sha256), engine.sha256)
    return ask_engine(file, situations, built_in)


def ask_engine(
    file: Runnable, situations: Mapping[int, Situation], built_in: Mapping[int, Decision]
) -> Mapping[int, Decision]:
    """Its choice for each, within the limits. Raises WorkerFailed, also for a choice that no engine has."""
    questions = [question_of(situation, built_in[pk]) for pk, situation in situations.items()]
    with started(Kind.ENGINE, [file], seconds=SECONDS) as worker:
        answers = worker.ask(questions, most_bytes=BYTES_PER_ANSWER * len(questions) + OTHER_BYTES)
    if not isinstance(answers, list) or len(answers) != len(questions):
        raise WorkerFailed("it has not one answer for each question")
    return {
        pk: _overruled(situation, built_in[pk], answer)
        for (pk, situation), answer in zip(situations.items(), answers, strict=True)
    }


def question_of(situation: Situation, decision: Decision) -> dict[str, Any]:
    """docs/models.md describes it. Nothing in it names an agent or a client."""
    prices = {one.pool_id: _steps(one.prices, situation.now) for one in situation.candidates}
    question = {"now": clock.isoformat(situation.now)} | numbers_of(situation, decision)
    for candidate in question["candidates"]:
        candidate["prices"] = prices.get(candidate["pool_id"], [])
    return question


def _steps(steps: Iterable[PriceStep], now: datetime) -> list[list[Any]]:
    return [[clock.isoformat(step.at), step.price] for step in steps if step.at <= now]


def _overruled(situation: Situation, decision: Decision, answer: Any) -> Decision:
    found = answer if isinstance(answer, dict) else {}
    pool_id, reason = found.get("target_pool_id"), found.get("reason")
    if found.get("action") not in list(Action) or not isinstance(pool_id, str | None):
        raise WorkerFailed("one of its answers is no decision")
    text = clean_text(reason, max_length=MOST_CHARACTERS) if isinstance(reason, str) else ""
    action = Action(found["action"])
    try:
        return overruled(
            situation, decision, action=action, target_pool_id=pool_id, reason=text or "The uploaded engine chose so."
        )
    except LimitViolated as violation:
        raise WorkerFailed(f"it chose {action}, which is not to be had: {violation}") from violation
