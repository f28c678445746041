"""What the server acknowledged with 2xx and therefore must still know at the end."""

import threading
from dataclasses import dataclass, field


@dataclass
class Promises:
    registered: dict[str, str] = field(default_factory=dict)  # instance id → agent id
    switched: dict[tuple[str, str], str] = field(default_factory=dict)  # (old, new) → agent id
    terminated: dict[str, float] = field(default_factory=dict)  # instance id → when it was confirmed
    executed: dict[str, bool] = field(default_factory=dict)  # command id or request id → success
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def register(self, instance_id: str, agent_id: str) -> None:
        with self._lock:
            self.registered[instance_id] = agent_id

    def switch(self, old_id: str, new_id: str, agent_id: str) -> None:
        with self._lock:
            self.switched[old_id, new_id] = agent_id

    def terminate(self, instance_id: str, at: float) -> None:
        with self._lock:
            self.terminated.setdefault(instance_id, at)

    def execute(self, identifier: str, *, success: bool) -> None:
        with self._lock:
            self.executed.setdefault(identifier, success)
