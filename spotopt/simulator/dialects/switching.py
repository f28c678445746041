"""Switches as v2 and v4 carry them out: the old instance launches its successor, waits, and terminates itself.

agent-api 3.5, 3.11 and 4.3. The report comes last, so it is often lost with the host.
"""

from typing import Any

from spotopt.simulator.dialects.base import ATTENTIVE, AgentProcess
from spotopt.simulator.ec2 import Ec2Error, Instance
from spotopt.simulator.orders import Order
from spotopt.simulator.prices import Pool
from spotopt.simulator.workload import ORDER

SETTLE_SECONDS = 2  # pause between "running" and the move of the traffic
MARGIN_SECONDS = 240  # how long an order is followed after its expected end
TRIGGER_THRESHOLD = 50


class SwitchingAgent(AgentProcess):
    time_style = "offset"
    command_interval = 15.0

    def poll_commands(self) -> None:
        """Only the first entry of the array is handled per poll."""
        if not self.enabled or self.is_executing:
            return
        reply = self.get("pending-commands")
        if not reply.ok:
            return
        if not isinstance(reply.body, list):
            self.world.transport.complain("pending-commands: answer", f"not an array: {reply.body}")
        elif reply.body:
            self.obey(reply.body[0])

    def obey(self, command: dict[str, Any]) -> None:
        self.check(command)
        order = self.world.orders.deliver(
            str(command["id"]),
            workload=self.workload.key,
            kind=str(command.get("command_type")),
            instance_id=self.instance.id,
            at=self.world.now,
        )
        self.switch(command, order)

    def check(self, command: dict[str, Any]) -> None:
        """The types on which these agents break (agent-api 3.5, 7)."""
        wait, priority = command.get("terminate_wait_seconds"), command.get("priority")
        sound = (
            isinstance(command.get("id"), str)
            and isinstance(priority, int)
            and isinstance(wait, int)
            and wait >= 0
            and command.get("command_type") in ("switch", "create_replica")
            and (command.get("target_mode") != "spot" or isinstance(command.get("target_pool_id"), str))
        )
        if not sound:
            self.world.transport.complain("pending-commands: entry", str(command))

    # --- The steps ------------------------------------------------------------------------------------------------

    def switch(self, command: dict[str, Any], order: Order) -> None:
        self.is_executing = True
        begun = self.world.now
        mode, pool = self._target(command)
        try:
            successor = self.workload.launch(pool=pool, mode=mode)
        except Ec2Error as error:
            order.outcome, order.reason = "failed", str(error)
            self.is_executing = False
            self.acknowledge(command, success=False, message=str(error))
            return
        order.launched.append(successor.id)
        order.outcome = "done"  # whatever becomes of the old host from here on
        wait = self.wait_seconds(command)
        self.workload.attend(ORDER, successor.running_at - begun + wait + MARGIN_SECONDS)
        timing = {
            "switch_initiated_at": self.stamp(begun),
            "new_instance_launched_at": self.stamp(successor.launched_at),
            "new_instance_ready_at": self.stamp(successor.running_at),
        }
        self.later(
            successor.running_at - begun + SETTLE_SECONDS, lambda: self._move_traffic(command, successor, timing, wait)
        )

    def _target(self, command: dict[str, Any]) -> tuple[str, Pool]:
        """The type is always its own; the zone is what follows the last dot of the pool id."""
        own = self.instance.pool
        if command["target_mode"] != "spot":
            return "ondemand", own
        az = str(command["target_pool_id"]).rpartition(".")[2]
        return "spot", Pool(own.instance_type, az, own.region)

    def _move_traffic(self, command: dict[str, Any], successor: Instance, timing: dict[str, Any], wait: float) -> None:
        timing["traffic_switched_at"] = self.stamp(self.world.now)
        self.workload.move_from(self.instance, successor)
        if wait:
            self.later(wait, lambda: self._leave(command, successor, timing))
        else:
            self._finish(command, successor, timing)
            self.stop_and_restart()

    def _leave(self, command: dict[str, Any], successor: Instance, timing: dict[str, Any]) -> None:
        """Terminate the own host and try to report from it while it goes down."""
        chances = self.world.chances
        try:
            self.world.cloud.terminate(self.instance.id, now=self.world.now, rng=self.rng)
        except Ec2Error:
            self._finish(command, successor, timing)
            self.stop_and_restart()
            return
        if self.rng.random() < chances.report_survives:
            timing["old_instance_terminated_at"] = self.stamp(self.world.now)
            self._finish(command, successor, timing)
        if self.rng.random() < chances.goodbye_survives:
            self.say_goodbye()
        self.die()

    def _finish(self, command: dict[str, Any], successor: Instance, timing: dict[str, Any]) -> None:
        self.is_executing = False
        if self.post("switch-report", self.switch_report(command, successor, timing)).ok:
            self.world.promises.switch(self.instance.id, successor.id, str(self.agent_id))
        self.acknowledge(command, success=True, message=f"Switched to {successor.id}")

    # --- What the two dialects do differently ---------------------------------------------------------------------

    def wait_seconds(self, command: dict[str, Any]) -> float:
        raise NotImplementedError

    def acknowledge(self, command: dict[str, Any], *, success: bool, message: str) -> None:
        raise NotImplementedError

    # --- Bodies ---------------------------------------------------------------------------------------------------

    def stamp(self, at: float) -> str:
        return self.iso(at, style=self.time_style)

    def switch_report(self, command: dict[str, Any], successor: Instance, timing: dict[str, Any]) -> dict[str, Any]:
        old, new = self.instance, successor
        spot = self.world.prices.spot
        prices: dict[str, Any] = {"on_demand": self.world.cloud.ondemand_price(old.pool)}
        prices["old_spot"] = spot(old.pool, self.world.now) if old.mode == "spot" else None
        prices["new_spot"] = spot(new.pool, self.world.now) if new.mode == "spot" else None
        return {
            "old_instance": _side(old, pool_id=old.pool_id),
            "new_instance": _side(new, pool_id=command.get("target_pool_id")),
            "snapshot": {"used": False},
            "prices": prices,
            "timing": timing,
            "trigger": "manual" if command["priority"] >= TRIGGER_THRESHOLD else "model",
        }

    def pool_quotes(self) -> list[dict[str, Any]]:
        own = self.instance.pool
        pools = self.world.prices.pools(own.instance_type, own.region)
        now = self.world.now
        quotes: list[dict[str, Any]] = [
            {"pool_id": p.id, "instance_type": p.instance_type, "az": p.az, "price": self.world.prices.spot(p, now)}
            for p in pools
        ]
        return sorted(quotes, key=lambda quote: quote["price"])

    def add_switching_workers(self) -> None:
        self.every(30, self.heartbeat, urgent=ATTENTIVE)
        self.every(self.command_interval, self.poll_commands, urgent=ATTENTIVE)
        self.every(60, self.read_config)
        self.every(300, self.report_prices, first=1, urgent=(), longest=6 * 3600)

    def report_prices(self) -> None:
        raise NotImplementedError


def _side(instance: Instance, *, pool_id: str | None) -> dict[str, Any]:
    return {
        "instance_id": instance.id,
        "instance_type": instance.pool.instance_type,
        "region": instance.pool.region,
        "az": instance.pool.az,
        "ami_id": instance.ami_id,
        "mode": instance.mode,
        "pool_id": pool_id,
    }
