"""What was ordered, and what became of it on the agents' side."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Order:
    """One command. `outcome` is what really happened: done, failed, or cut short by the end of the instance."""

    id: str
    workload: str
    kind: str  # switch, launch, terminate, or the command type when the server ordered by itself
    accepted_at: float
    is_steered: bool  # accepted with 2xx from the steerer, so it must not get lost
    deliveries: list[tuple[float, str]] = field(default_factory=list)  # (time, instance id)
    launched: list[str] = field(default_factory=list)
    outcome: str = ""
    reason: str = ""


class OrderBook:
    """Known by command id and, for v5, by request id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Order] = {}
        self._lock = threading.Lock()

    def accept(self, *, command_id: str, request_id: str, workload: str, kind: str, at: float) -> Order:
        with self._lock:
            order = self._by_id.get(command_id) or self._by_id.get(request_id)
            if order is None:
                order = Order(command_id, workload, kind, at, is_steered=True)
            self._by_id[command_id] = self._by_id[request_id or command_id] = order
            return order

    def deliver(self, identifier: str, *, workload: str, kind: str, instance_id: str, at: float) -> Order:
        with self._lock:
            order = self._by_id.setdefault(identifier, Order(identifier, workload, kind, at, is_steered=False))
            order.deliveries.append((at, instance_id))
            return order

    def snapshot(self) -> "OrderBook":
        """The orders of now; what becomes of them still shows."""
        with self._lock:
            copy = OrderBook()
            copy._by_id = dict(self._by_id)
            return copy

    def all(self) -> list[Order]:
        with self._lock:
            return list({id(order): order for order in self._by_id.values()}.values())

    def open_of(self, workload: str) -> Iterable[Order]:
        return [o for o in self.all() if o.workload == workload and not o.outcome]
