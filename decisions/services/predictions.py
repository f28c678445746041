"""What the live models say of the pools: asked by `run_decisions`, once for all pools, and read by everybody.

Endpoints never start a model: they see what the last round was told, for as long as FRESH_FOR.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from decisions import store
from decisions.engine import Candidate
from decisions.features import features_of
from decisions.models import ModelSession, PoolPrediction
from decisions.services.model_files import is_runnable
from decisions.services.supervision import is_resting, note_failure, note_success
from decisions.services.workers import FilesRefused, Kind, Runnable, Worker, WorkerFailed, started
from spotopt.common.db import upsert

ASK_EVERY = timedelta(minutes=1)
FRESH_FOR = timedelta(minutes=15)
SECONDS = 10.0  # to load the models and to answer
BYTES_PER_ROW, OTHER_BYTES = 100, 2000  # of an answer

INTERRUPTION, PRICE = "interruption_probability_24h", "expected_price_24h"


@dataclass(frozen=True, slots=True)
class Prediction:
    interruption_probability_24h: float
    expected_price_24h: float | None


def known_predictions(*, pool_ids: Collection[str], now: datetime) -> Mapping[str, float]:
    """{pool: probability} of those the live session has foretold lately. One statement."""
    live = PoolPrediction.objects.filter(session__status=ModelSession.Status.ACTIVE, predicted_at__gt=now - FRESH_FOR)
    return dict(live.filter(pool_id__in=pool_ids).values_list("pool_id", "interruption_probability_24h"))


def predicted(
    *, candidates: Iterable[Candidate], ondemand: Mapping[str, float], now: datetime
) -> Mapping[str, float | None] | None:
    """Ask the live session, when it is time: {pool: probability}, None where it is of no use. None: nothing is new.

    `ondemand` by pool. A session that fails is noted, and its former predictions go.
    """
    session = ModelSession.objects.filter(status=ModelSession.Status.ACTIVE).first()
    pools = list(candidates)
    if session is None or not pools or is_resting(session):
        return None
    latest = session.predictions.order_by("-predicted_at").values_list("predicted_at", flat=True).first()
    if latest is not None and timedelta(0) <= now - latest < ASK_EVERY:
        return None
    rows = [features_of(one, ondemand_price=ondemand.get(one.pool_id), now=now) for one in pools]
    try:
        with asked(session, seconds=SECONDS) as models:
            answers = models.predict(rows)
    except WorkerFailed as failure:
        note_failure(session, str(failure))
        PoolPrediction.objects.all().delete()
        return dict.fromkeys(one.pool_id for one in pools)
    note_success(session)
    _save(session, pools, answers, now)
    return {one.pool_id: answer.interruption_probability_24h for one, answer in zip(pools, answers, strict=True)}


def with_predictions(candidate: Candidate, found: Mapping[str, float | None]) -> Candidate:
    evidence = replace(candidate.evidence, interruption_probability_24h=found.get(candidate.pool_id))
    return replace(candidate, evidence=evidence)


def _save(session: ModelSession, pools: Sequence[Candidate], answers: Sequence[Prediction], now: datetime) -> None:
    rows = [
        PoolPrediction(
            pool_id=one.pool_id,
            session=session,
            interruption_probability_24h=answer.interruption_probability_24h,
            expected_price_24h=answer.expected_price_24h,
            predicted_at=now,
        )
        for one, answer in zip(pools, answers, strict=True)
    ]
    upsert(PoolPrediction, rows, key=["pool_id"], update=["session", INTERRUPTION, PRICE, "predicted_at"])


@contextmanager
def asked(session: ModelSession, *, seconds: float) -> Iterator["Models"]:
    """The session's models in a worker of their own. Raises WorkerFailed."""
    with started(Kind.MODELS, runnable_files(session), seconds=seconds) as worker:
        yield Models(worker)


class Models:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def predict(self, rows: Sequence[Sequence[float]]) -> list[Prediction]:
        """One per row. Raises WorkerFailed, also for what is no probability or no price."""
        answer = self._worker.ask(rows, most_bytes=BYTES_PER_ROW * len(rows) + OTHER_BYTES)
        found = answer if isinstance(answer, dict) else {}
        probabilities = _column(found, INTERRUPTION, len(rows), highest=1.0)
        if PRICE not in found:
            return [Prediction(one, None) for one in probabilities]
        prices = _column(found, PRICE, len(rows), highest=10_000.0)
        return [Prediction(one, price) for one, price in zip(probabilities, prices, strict=True)]


def _column(found: Mapping[str, Any], name: str, count: int, *, highest: float) -> list[float]:
    values = found.get(name)
    if not isinstance(values, list) or len(values) != count:
        raise WorkerFailed(f"{name} has not one value for each row")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
            shown = f"{value:.4g}" if isinstance(value, float) else f"a {type(value).__name__}"
            raise WorkerFailed(f"{name} is {shown}, not a number from 0 to {highest:g}")
    return [float(value) for value in values]


def runnable_files(session: ModelSession) -> list[Runnable]:
    """Raises FilesRefused where this server's settings do not let one of them run, or it is gone."""
    files = []
    for file in session.files.all():
        if not is_runnable(file.name):
            raise FilesRefused(f"this server does not run {file.name}: it is not ONNX (ALLOW_PICKLE_MODELS)")
        if not store.has(file.sha256, file.size):
            raise FilesRefused(f"{file.name} is no longer on the server's disk")
        files.append(Runnable(file.name, store.path_of(file.sha256), file.sha256))
    return files
