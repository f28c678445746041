"""Agent v4-b: heartbeats, configuration and `decide`; it never fetches an order and never launches anything."""

import uuid
from typing import Any

from spotopt.simulator.dialects.base import ATTENTIVE, AgentProcess

NOTICE_POLL_SECONDS = 10


class AgentV4b(AgentProcess):
    dialect = "v4b"
    version = "4.0.0"

    def registration(self) -> dict[str, Any]:
        return super().registration() | {
            "mode": self.instance.mode,
            "private_ip": self.instance.private_ip,
            "public_ip": None,
        }

    def add_workers(self) -> None:
        self.every(30, self.heartbeat, urgent=ATTENTIVE)
        if self.world.has_route("decide"):
            self.every(300, self.decide, first=60, urgent=(), longest=6 * 3600)

    def heartbeat(self) -> None:
        """The configuration is read right after each heartbeat."""
        self.post("heartbeat", {"status": "online" if self.enabled else "disabled"})
        self.read_config()

    def decide(self) -> None:
        if not self.enabled:
            return
        own, now = self.instance.pool, self.world.now
        pools = [
            {
                "pool_id": pool.id,
                "instance_type": pool.instance_type,
                "az": pool.az,
                "price": self.world.prices.spot(pool, now),
                "is_current": self.instance.mode == "spot" and pool == own,
            }
            for pool in self.world.prices.pools(own.instance_type, own.region)
        ]
        body = {"spot_pools": pools, "ondemand_price": self.world.cloud.ondemand_price(own), "current_az": own.az}
        reply = self.post("decide", body)
        if reply.ok and not isinstance(reply.get("confidence"), int | float):
            self.world.transport.complain("decide: answer", f"confidence must be a number: {reply.body}")

    def notice(self, deadline: float) -> None:
        super().notice(deadline)
        if self.instance.mode == "spot" and self.world.has_route("rebalance-recommendation"):
            self.later(self.rng.random() * NOTICE_POLL_SECONDS, self._tell_of_termination)

    def _tell_of_termination(self) -> None:
        """Every ten seconds until death. The header sticks to all later calls of the process (agent-api 1.9)."""
        self.session.headers["X-Request-ID"] = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        body = {"notice_time": self.iso(self.notice_deadline), "immediate": True}
        self.post("rebalance-recommendation", body, expected=(409,))
        if self.breaks_down():
            return
        self.get("emergency-status")
        self.later(NOTICE_POLL_SECONDS, self._tell_of_termination)
