"""What the server acknowledged with 2xx and therefore must still know at the end."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass
class Promises:
    """With `log`, each promise is a line of that file before its agent acts on it, so it outlives the simulator."""

    registered: dict[str, str] = field(default_factory=dict)  # instance id → agent id
    switched: dict[tuple[str, str], str] = field(default_factory=dict)  # (old, new) → agent id
    terminated: dict[str, float] = field(default_factory=dict)  # instance id → when it was confirmed
    executed: dict[str, bool] = field(default_factory=dict)  # command id or request id → success
    ordered: dict[str, float] = field(default_factory=dict)  # command id → when the order was accepted
    log: Path | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self._file = self.log.open("a", buffering=1) if self.log else None  # a line at a time, to the kernel at once

    @classmethod
    def recorded_in(cls, log: Path) -> Self:
        """What a log says. A line that was cut off by the simulator's death was not acted on."""
        promises = cls()
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                fields = json.loads(line)
                getattr(promises, fields.pop("promise"))(**fields)
        return promises

    def register(self, instance_id: str, agent_id: str) -> None:
        with self._lock:
            self._write("register", instance_id=instance_id, agent_id=agent_id)
            self.registered[instance_id] = agent_id

    def switch(self, old_id: str, new_id: str, agent_id: str) -> None:
        with self._lock:
            self._write("switch", old_id=old_id, new_id=new_id, agent_id=agent_id)
            self.switched[old_id, new_id] = agent_id

    def terminate(self, instance_id: str, at: float) -> None:
        with self._lock:
            self._write("terminate", instance_id=instance_id, at=at)
            self.terminated.setdefault(instance_id, at)

    def execute(self, identifier: str, *, success: bool) -> None:
        with self._lock:
            self._write("execute", identifier=identifier, success=success)
            self.executed.setdefault(identifier, success)

    def order(self, command_id: str, at: float) -> None:
        with self._lock:
            self._write("order", command_id=command_id, at=at)
            self.ordered.setdefault(command_id, at)

    @property
    def size(self) -> str:
        """In words."""
        counts = {
            "registrations": len(self.registered),
            "switches": len(self.switched),
            "terminations": len(self.terminated),
            "results": len(self.executed),
            "orders": len(self.ordered),
        }
        return ", ".join(f"{count} {name}" for name, count in counts.items())

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _write(self, promise: str, **fields: Any) -> None:
        if self._file:
            self._file.write(json.dumps({"promise": promise} | fields) + "\n")
