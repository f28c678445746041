"""What an uploaded file is, found out by a process that may be harmed by it (decisions/sandbox.py)."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from decisions.errors import ChecksUnavailable, DomainError, EngineRefused, ModelRefused
from spotopt.common.wire import storable

log = logging.getLogger(__name__)

SANDBOX = Path(__file__).resolve().parent.parent / "sandbox.py"
SECONDS = 20.0  # for one file
SECONDS_FOR_ALL = 45.0  # proxies wait 60 for an answer
MOST_ENGINE_BYTES = 2**20


class Checks:
    """Of the files of one request, which together have SECONDS_FOR_ALL."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + SECONDS_FOR_ALL

    def model(self, name: str, path: Path, *, sha256: str) -> dict[str, Any]:
        """Inputs, outputs (name, type, shape of each) and producer of an ONNX file. Raises ModelRefused."""
        found = self._look("onnx", name, path, ModelRefused)
        if found.pop("sha256") != sha256:
            raise ModelRefused(f"{name} is damaged on the server's disk: upload it again")
        return dict(storable(found))

    def engine(self, name: str, path: Path) -> None:
        """Raises EngineRefused unless the file is Python and declares an engine. Nothing of it is run."""
        if path.stat().st_size > MOST_ENGINE_BYTES:
            raise EngineRefused(f"{name} is too large for an engine: at most {MOST_ENGINE_BYTES // 2**10} KiB")
        self._look("engine", name, path, EngineRefused)

    def _look(self, kind: str, name: str, path: Path, refusal: type[DomainError]) -> dict[str, Any]:
        answer = self._run(kind, path)
        if "broken" in answer:
            log.error("uploads cannot be checked: %s", answer["broken"])
            raise ChecksUnavailable
        if "refused" in answer:
            log.warning("%s was refused: %s", name, answer.get("detail", answer["refused"]))
            raise refusal(f"{name} cannot be used: {answer['refused']}")
        return answer

    def _run(self, kind: str, path: Path) -> dict[str, Any]:
        command = [sys.executable, "-I", str(SANDBOX), kind, str(path.resolve())]
        seconds = min(SECONDS, max(0.1, self._deadline - time.monotonic()))
        try:
            done = subprocess.run(  # noqa: S603 (our own program; the path is ours too)
                command,
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"refused": f"it did not load within {seconds:.0f} seconds"}
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            return {"refused": "the process that loaded it crashed", "detail": f"exit status {done.returncode}"}
