"""Agent v4, the main one: switches, replicas, terminations, and both kinds of interruption signals."""

from typing import Any

from spotopt.simulator.dialects.replicas import ReplicaWorkers
from spotopt.simulator.dialects.switching import SwitchingAgent
from spotopt.simulator.ec2 import Ec2Error
from spotopt.simulator.workload import BOOT, INTERRUPTION, LEFTOVER

NOTICE_POLL_SECONDS = 5
REBALANCE_POLL_SECONDS = 30


class AgentV4(ReplicaWorkers, SwitchingAgent):
    dialect = "v4"
    version = "4.0.0"

    def registration(self) -> dict[str, Any]:
        return super().registration() | {
            "mode": self.instance.mode,
            "private_ip": self.instance.private_ip,
            "public_ip": None,
            "client_token": self.world.transport.token,
        }

    def add_workers(self) -> None:
        self.add_switching_workers()
        if self.world.has_route("replicas"):
            self.every(30, self.launch_replicas, urgent=(BOOT, INTERRUPTION))
            self.every(30, self.terminate_replicas, urgent=(INTERRUPTION, LEFTOVER))
        self.every(60, self.terminate_instances, first=60, urgent=(LEFTOVER, INTERRUPTION))
        self.every(3600, self.report_cleanup, first=60, urgent=(), longest=24 * 3600)

    def heartbeat(self) -> None:
        pool = self.instance.pool
        body = {
            "status": "online" if self.enabled else "disabled",
            "monitored_instances": [self.instance.id],
            "instance_id": self.instance.id,
            "instance_type": pool.instance_type,
            "mode": self.instance.mode,
            "az": pool.az,
        }
        self.post("heartbeat", body)

    def say_goodbye(self) -> None:
        self.post("heartbeat", {"status": "offline", "monitored_instances": []})

    # --- Switches -------------------------------------------------------------------------------------------------

    def obey(self, command: dict[str, Any]) -> None:
        if command.get("command_type", "switch") == "create_replica":
            self.check(command)
            self.create_replica(command)
        elif command.get("target_mode") is not None:
            super().obey(command)

    def wait_seconds(self, command: dict[str, Any]) -> float:
        return float(command["terminate_wait_seconds"])

    def acknowledge(self, command: dict[str, Any], *, success: bool, message: str) -> None:
        body = {"success": success, "message": message}
        if self.post(f"commands/{command['id']}/executed", body, kind="executed").ok:
            self.world.promises.execute(command["id"], success=success)

    # --- Prices, cleanup, terminations ----------------------------------------------------------------------------

    def report_prices(self) -> None:
        instance, quotes = self.instance, self.pool_quotes()
        own = self.world.prices.spot(instance.pool, self.world.now) if instance.mode == "spot" else None
        body = {
            "instance": {
                "instance_id": instance.id,
                "instance_type": instance.pool.instance_type,
                "region": instance.pool.region,
                "az": instance.pool.az,
                "mode": instance.mode,
                "pool_id": instance.pool_id,
            },
            "pricing": {
                "on_demand_price": self.world.cloud.ondemand_price(instance.pool),
                "current_spot_price": own,
                "cheapest_pool": {k: quotes[0][k] for k in ("pool_id", "price")} if quotes else None,
                "spot_pools": quotes,
                "collected_at": self.iso(),
            },
        }
        self.post("pricing-report", body)

    def report_cleanup(self) -> None:
        now = self.world.now
        self.post(
            "cleanup-report",
            {
                "timestamp": self.iso(),
                "snapshots": {
                    "type": "snapshots",
                    "deleted": [],
                    "failed": [],
                    "cutoff_date": self.iso(now - 7 * 86400),
                },
                "amis": {
                    "type": "amis",
                    "deleted_amis": [],
                    "deleted_snapshots": [],
                    "failed": [],
                    "error": "can't compare offset-naive and offset-aware datetimes",
                },
            },
        )

    def terminate_instances(self) -> None:
        """Everything listed is terminated without further checks, itself included."""
        reply = self.get("instances-to-terminate")
        if not reply.ok:
            return
        if not isinstance(reply.body, dict) or not isinstance(reply.get("instances"), list):
            self.world.transport.complain("instances-to-terminate: answer", str(reply.body))
        elif reply.get("auto_terminate_enabled"):
            for entry in reply.get("instances"):
                if self.is_alive and entry.get("instance_id"):
                    self._terminate(str(entry["instance_id"]))

    def _terminate(self, instance_id: str) -> None:
        serving = self.workload.serving
        if serving and serving.id == instance_id:
            self.world.transport.complain("instances-to-terminate: the primary is listed", instance_id)
        error = None
        is_own = instance_id == self.instance.id
        try:
            if is_own:  # the report still gets out, or not; then the host is gone
                self.world.cloud.terminate(instance_id, now=self.world.now, rng=self.rng)
            else:
                self.workload.terminate(instance_id)
        except Ec2Error as problem:
            error = None if "NotFound" in str(problem) else str(problem)
        if not is_own or error or self.rng.random() < self.world.chances.report_survives:
            self._report_termination(instance_id, error)
        if is_own and not error:
            self.die()

    def _report_termination(self, instance_id: str, error: str | None) -> None:
        ended = self.iso() if error is None else None
        body = {"instance_id": instance_id, "success": error is None, "error": error, "terminated_at": ended}
        if self.post("termination-report", body).ok and error is None:
            self.world.promises.terminate(instance_id, self.world.now)

    # --- Signals (agent-api 3.14–3.16) ----------------------------------------------------------------------------

    def rebalance(self) -> None:
        if self.world.has_route("create-emergency-replica"):
            self.later(self.rng.random() * REBALANCE_POLL_SECONDS, self._tell_of_rebalance)

    def notice(self, deadline: float) -> None:
        super().notice(deadline)
        if self.world.has_route("create-emergency-replica"):
            self.later(self.rng.random() * NOTICE_POLL_SECONDS, self._tell_of_termination)

    def _tell_of_rebalance(self) -> None:
        body = {"signal_type": "rebalance-recommendation", "instance_id": self.instance.id}
        # 403: protection is off; 409: no suitable pool. "No reply" is an acceptable refusal to v4
        self.post("create-emergency-replica", body, expected=(403, 409))
        if self.breaks_down():
            return
        self.post("rebalance-recommendation", {"instance_id": self.instance.id, "detected_at": self.iso()})

    def _tell_of_termination(self) -> None:
        deadline = self.iso(self.notice_deadline)
        body = {"signal_type": "termination-notice", "instance_id": self.instance.id, "termination_time": deadline}
        self.post("create-emergency-replica", body, expected=(409,))
        if self.breaks_down():
            return
        body = {"instance_id": self.instance.id, "termination_time": deadline, "detected_at": self.iso()}
        reply = self.post("termination-imminent", body)
        if reply.ok and reply.get("success"):
            self.workload.failed_over(self.instance, to=reply.get("new_instance_id"))
            self.stop_and_restart()
