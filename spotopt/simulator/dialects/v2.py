"""Agent v2: switches only, with its own waiting time, and an acknowledgement that says nothing of the outcome."""

from typing import Any

from spotopt.simulator.dialects.switching import SwitchingAgent

LOCAL_WAIT_SECONDS = 300.0  # it ignores terminate_wait_seconds


class AgentV2(SwitchingAgent):
    dialect = "v2"
    version = "3.2.0"
    time_style = "naive-z"

    def registration(self) -> dict[str, Any]:
        return super().registration() | {"client_token": self.world.transport.token}

    def add_workers(self) -> None:
        self.add_switching_workers()

    def heartbeat(self) -> None:
        status = "online" if self.enabled else "disabled"
        self.post("heartbeat", {"status": status, "monitored_instances": [self.instance.id]})

    def say_goodbye(self) -> None:
        self.post("heartbeat", {"status": "offline", "monitored_instances": [self.instance.id]})

    def obey(self, command: dict[str, Any]) -> None:
        if command.get("target_mode") is None:
            self.acknowledge(command, success=False, message="")
        else:
            super().obey(command)

    def wait_seconds(self, command: dict[str, Any]) -> float:
        return LOCAL_WAIT_SECONDS

    def acknowledge(self, command: dict[str, Any], *, success: bool, message: str) -> None:
        if self.post("mark-command-executed", {"command_id": command["id"]}).ok:
            self.world.promises.execute(command["id"], success=success)

    def report_prices(self) -> None:
        instance, quotes = self.instance, self.pool_quotes()
        body = {
            "instance": {
                "instance_id": instance.id,
                "instance_type": instance.pool.instance_type,
                "region": instance.pool.region,
                "az": instance.pool.az,
                "current_mode": instance.mode,
                "current_pool_id": instance.pool_id,
            },
            "on_demand_price": {"price": self.world.cloud.ondemand_price(instance.pool)},
            "spot_pools": quotes,
        }
        self.post("pricing-report", body)

    def switch_report(self, command: dict[str, Any], successor: Any, timing: dict[str, Any]) -> dict[str, Any]:
        """v2 has no launch time, writes null for what did not happen, and 0.0 for a price it does not know."""
        report = super().switch_report(command, successor, timing)
        own = {name: value for name, value in timing.items() if name != "new_instance_launched_at"}
        own.setdefault("old_instance_terminated_at", None)
        prices = {name: value if value is not None else 0.0 for name, value in report["prices"].items()}
        return report | {"timing": own, "prices": prices}
