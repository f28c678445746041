"""Agent v5: launches, terminates and tags on order, and sends the account's inventory with each heartbeat."""

from collections.abc import Callable
from typing import Any

from spotopt.simulator.dialects.base import ATTENTIVE, AgentProcess
from spotopt.simulator.ec2 import Ec2Error, Instance
from spotopt.simulator.orders import Order
from spotopt.simulator.prices import Pool
from spotopt.simulator.workload import INTERRUPTION, LEFTOVER, ORDER

NOTICE_POLL_SECONDS = 10
COMMAND_TYPES = (
    "LAUNCH_INSTANCE",
    "TERMINATE_INSTANCE",
    "PROMOTE_REPLICA_TO_PRIMARY",
    "APPLY_CONFIG",
    "SELF_DESTRUCT",
)
WEDGED_RESTART_SECONDS = 600  # until its operator notices and restarts it


class AgentV5(AgentProcess):
    dialect = "v5"
    version = "5.0.1-production"
    restart_delay = 15

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.persisted_id: str | None = None
        self.results: dict[str, dict[str, Any]] = {}  # by request id; lost at a restart
        self.is_wedged = False  # one failed heartbeat and it is mute until a restart (agent-api 7)

    # --- Start and end --------------------------------------------------------------------------------------------

    def registration(self) -> dict[str, Any]:
        own = {"mode": "unknown", "cloud_account": "", "project_id": "default"}
        return super().registration() | {"logical_agent_id": self.instance.id} | own

    def remember(self, predecessor: AgentProcess | None) -> None:
        self.persisted_id = predecessor.agent_id if predecessor else None

    def register(self) -> bool:
        """With an id on disk it only says that it is back; a refusal makes it register."""
        if self.persisted_id:
            self.agent_id = self.persisted_id
            body = {"status": "online", "inventory_snapshot": {}, "reconnect": True}
            if self.post("heartbeat", body | {"health_metrics": self._health()}, expected=(404,)).ok:
                return True
        return super().register()

    def add_workers(self) -> None:
        self.every(30, self.heartbeat, urgent=ATTENTIVE)
        self.every(5, self.poll_commands, urgent=(*ATTENTIVE, LEFTOVER))
        self.every(300, self.report_prices, first=60, urgent=(), longest=6 * 3600)

    def say_goodbye(self) -> None:
        body = {
            "cloud_instance_id": self.instance.id,
            "timestamp": self._now(),
            "metadata": {"uptime": int(self.world.now - self.started_at), "final_state": "SHUTDOWN"},
        }
        self.post("shutdown", body)

    # --- Heartbeat ------------------------------------------------------------------------------------------------

    def heartbeat(self) -> None:
        if self.is_executing or self.is_wedged:
            return
        instances = [
            self._entry(i) for i in self.world.cloud.describe(self.world.now, region=self.instance.pool.region)
        ]
        body = {
            "status": "online",
            "inventory_snapshot": {"instances": instances, "count": len(instances)},
            "health_metrics": self._health(),
        }
        if not self.post("heartbeat", body).ok:
            self.is_wedged = True
            self.later(WEDGED_RESTART_SECONDS, lambda: self.stop_and_restart(goodbye=False))

    def _entry(self, instance: Instance) -> dict[str, Any]:
        return {
            "instance_id": instance.id,
            "state": instance.state(self.world.now),
            "az": instance.pool.az,
            "instance_type": instance.pool.instance_type,
            "pool": instance.pool_id,
            "tags": {"Name": instance.owner},
            "launch_time": self.iso(instance.launched_at),
            "private_ip": instance.private_ip,
            "public_ip": None,
        }

    def _health(self) -> dict[str, Any]:
        return {"uptime": int(self.world.now - self.started_at), "cpu_percent": 0, "memory_percent": 0}

    # --- Commands -------------------------------------------------------------------------------------------------

    def poll_commands(self) -> None:
        if self.is_executing or self.is_wedged:
            return
        reply = self.get("commands/pending")
        commands = reply.get("commands")
        if not reply.ok:
            return
        if not isinstance(commands, list):
            self.world.transport.complain("commands/pending: answer", f"no list of commands: {reply.body}")
        elif commands:
            self._execute(commands)

    def _execute(self, commands: list[dict[str, Any]]) -> None:
        """One after the other, whatever became of the one before."""
        if not commands or not self.is_alive:
            self.is_executing = False
            return
        self.is_executing = True
        command, rest = commands[0], commands[1:]
        request_id = command.get("request_id")
        sound = request_id and isinstance(command.get("params"), dict) and isinstance(command.get("metadata"), dict)
        if not sound or command.get("command_type") not in COMMAND_TYPES:
            self.world.transport.complain("commands/pending: entry", str(command))
            self._execute(rest)
            return
        if request_id in self.results:
            self.post("action-result", self.results[str(request_id)])
            self._execute(rest)
            return
        kind = str(command["command_type"])
        order = self.world.orders.deliver(
            str(request_id), workload=self.workload.key, kind=kind, instance_id=self.instance.id, at=self.world.now
        )
        self.workload.attend(ORDER, 300)
        params = command["params"] | command["metadata"]
        steps = {"LAUNCH_INSTANCE": self._launch, "TERMINATE_INSTANCE": self._terminate}
        step = steps.get(kind, self._do_nothing)
        step(command, params, order, lambda: self._execute(rest))

    def _do_nothing(
        self, command: dict[str, Any], params: dict[str, Any], order: Order, then: Callable[[], None]
    ) -> None:
        """Tags and stored settings change nothing in this simulation."""
        self._conclude(command, order, then)

    def _launch(self, command: dict[str, Any], params: dict[str, Any], order: Order, then: Callable[[], None]) -> None:
        own = self.instance.pool
        target = str(params.get("target_pool", ""))
        mode = "spot" if "spot" in target.lower() else "ondemand"
        az = str(params.get("az") or target.rpartition(".")[2])
        pool = Pool(str(params.get("instance_type") or own.instance_type), az, own.region)
        try:
            if az != own.az:
                raise Ec2Error(f"InvalidParameterValue: the subnet is in {own.az}, not in {az}")
            instance = self.workload.launch(pool=pool, mode=mode)
        except Ec2Error as error:
            self._conclude(command, order, then, error=str(error))
            return
        order.launched.append(instance.id)
        if params.get("role_hint") != "primary":
            self.workload.standbys.add(instance.id)
        self.workload.attend(ORDER, instance.running_at - self.world.now + 420)
        self.later(
            instance.running_at - self.world.now, lambda: self._confirm_launch(command, params, order, instance, then)
        )

    def _confirm_launch(
        self, command: dict[str, Any], params: dict[str, Any], order: Order, new: Instance, then: Callable[[], None]
    ) -> None:
        body = {
            "temp_instance_id": command.get("instance_id"),
            "instance_id": new.id,
            "instance_type": new.pool.instance_type,
            "az": new.pool.az,
            "request_id": command["request_id"],
            "confirmed_at": self._now(),
        }
        confirmed = self.post("instance-launched", body).ok
        if params.get("role_hint") == "primary":
            self.workload.move_from(self.instance, new)
            if confirmed:
                self.world.promises.switch(self.instance.id, new.id, str(self.agent_id))
        took = int(self.world.now - new.launched_at)
        metadata: dict[str, Any] = {"ami_id": new.ami_id, "security_groups": ["sg-0f1e"], "subnet_id": "subnet-0a1b"}
        metadata["confirmation_time_seconds"] = took
        self._conclude(command, order, then, instance_id=new.id, metadata=metadata)

    def _terminate(
        self, command: dict[str, Any], params: dict[str, Any], order: Order, then: Callable[[], None]
    ) -> None:
        instance_id = str(params.get("instance_id") or "")
        if self.workload.serving and self.workload.serving.id == instance_id and not order.is_steered:
            self.world.transport.complain("commands/pending: the primary is to be terminated", instance_id)
        try:
            instance = self.workload.terminate(instance_id)
        except Ec2Error as error:
            self._conclude(command, order, then, error=str(error))
            return
        if instance is self.instance:
            order.outcome = "done"  # nobody is left to tell
        self.workload.attend(LEFTOVER, 300)
        gone_in = max(0.0, (instance.gone_at or self.world.now) - self.world.now)
        self.later(gone_in, lambda: self._confirm_termination(command, order, instance, gone_in, then))

    def _confirm_termination(
        self, command: dict[str, Any], order: Order, gone: Instance, took: float, then: Callable[[], None]
    ) -> None:
        body = {"instance_id": gone.id, "request_id": command["request_id"], "confirmed_at": self._now()}
        if self.post("instance-terminated", body).ok:
            self.world.promises.terminate(gone.id, self.world.now)
        metadata = {"confirmation_time_seconds": int(took)}
        self._conclude(command, order, then, instance_id=gone.id, metadata=metadata)

    def _conclude(
        self,
        command: dict[str, Any],
        order: Order,
        then: Callable[[], None],
        *,
        instance_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        order.outcome, order.reason = ("failed", error) if error else ("done", "")
        result = {
            "request_id": command["request_id"],
            "agent_id": self.agent_id,
            "result": "FAILURE" if error else "SUCCESS",
            "cloud_instance_id": instance_id,
            "error_message": error,
            "metadata": metadata or {},
        }
        self.results[command["request_id"]] = result
        if self.post("action-result", result).ok:
            self.world.promises.execute(command["request_id"], success=not error)
        if command["command_type"] == "SELF_DESTRUCT":
            self.die()
        else:
            then()

    # --- Prices and notices ---------------------------------------------------------------------------------------

    def report_prices(self) -> None:
        """Every type that runs in the account's region, in one flat list."""
        if self.is_executing or self.is_wedged:
            return
        region, now, stamp = self.instance.pool.region, self.world.now, self._now()
        types = sorted({i.pool.instance_type for i in self.world.cloud.describe(now, region=region)})
        entries: list[dict[str, Any]] = []
        for instance_type in types:
            for pool in self.world.prices.pools(instance_type, region):
                entry = {"instance_type": instance_type, "az": pool.az, "pool_id": pool.id, "timestamp": stamp}
                entries.append(entry | {"spot_price": self.world.prices.spot(pool, now)})
            price = self.world.prices.ondemand[region, instance_type]
            entries.append(
                {"instance_type": instance_type, "price_type": "ondemand", "price": price, "timestamp": stamp}
            )
        self.post("pricing-report", {"pricing_data_array": entries, "timestamp": stamp})

    def notice(self, deadline: float) -> None:
        super().notice(deadline)
        if self.world.has_route("create-emergency-replica"):
            self.later(self.rng.random() * NOTICE_POLL_SECONDS, self._tell_of_termination)

    def _tell_of_termination(self) -> None:
        """Every ten seconds until death, but not while a command is executed."""
        if not self.is_executing and not self.is_wedged:
            body = {"cloud_instance_id": self.instance.id, "notice_type": "TERMINATION"}
            deadline = self.iso(self.notice_deadline, style="naive")
            self.post("termination-report", body | {"termination_time": deadline})
            self.workload.attend(INTERRUPTION, 180)
            if self.breaks_down():
                return
        self.later(NOTICE_POLL_SECONDS, self._tell_of_termination)

    def _now(self) -> str:
        return self.iso(style="naive")
