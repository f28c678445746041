"""A tenant's script that orders moves, launches and terminations at random times, and keeps the answers."""

from functools import partial

from spotopt.simulator.transport import Reply
from spotopt.simulator.workload import ORDER, Workload
from spotopt.simulator.world import World

DAY = 24 * 3600
FIRST_ORDER_SECONDS = 3600.0  # by then prices are known
FETCH_SECONDS = 30
EXTRA_LAUNCHES = 0.25  # share of a v5 agent's orders that are a standby instead of a move
STANDBY_SECONDS = 1800
REFUSALS = (409,)  # right only when something else is under way; v4-b: always


class Steerer:
    def __init__(self, world: World, *, per_day: float, after_seconds: float = FIRST_ORDER_SECONDS) -> None:
        self.world = world
        self.accepted = 0
        self.refused = 0
        self.first_order_at = world.now + after_seconds
        self._mean_seconds = DAY / per_day if per_day > 0 else 0.0
        self._session = world.transport.session()

    def start(self) -> None:
        for workload in self.world.workloads.values():
            if self._mean_seconds:
                self._plan(workload, extra=self.first_order_at - self.world.now)

    def _plan(self, workload: Workload, *, extra: float = 0.0) -> None:
        wait = extra + workload.rng.expovariate(1 / self._mean_seconds)
        self.world.scheduler.after(wait, lambda: self._order(workload), key=workload.key)

    def _order(self, workload: Workload) -> None:
        self._plan(workload)
        agent = workload.agent
        if (
            self.world.is_winding_down
            or not workload.is_calm
            or agent is None
            or self.world.transport.is_down_on_purpose
        ):
            return
        if workload.dialect.dialect == "v5" and workload.rng.random() < EXTRA_LAUNCHES:
            self._launch_standby(workload, str(agent.agent_id))
        else:
            self._force_switch(workload, agent.instance.id)

    # --- Moves ----------------------------------------------------------------------------------------------------

    def _force_switch(self, workload: Workload, instance_id: str) -> None:
        reply = self._post(f"/api/client/instances/{instance_id}/force-switch", self._target(workload), "force-switch")
        if workload.dialect.dialect == "v4b":
            if reply.ok:
                self.world.transport.complain("force-switch: accepted for v4-b", str(reply.body))
            self.refused += 1
            return
        self._follow(workload, reply, kind="switch")

    def _target(self, workload: Workload) -> dict[str, str]:
        """Another place than the present one; v5 stays in its zone."""
        serving, rng = workload.served[-1].instance, workload.rng
        own = serving.pool
        if workload.dialect.dialect == "v5":
            return {"target": "ondemand"} if serving.mode == "spot" else {"target": "pool", "pool_id": own.id}
        others = [p for p in self.world.prices.pools(own.instance_type, own.region) if p != own]
        chance = rng.random()
        if serving.mode == "spot" and (chance < 0.2 or not others):
            return {"target": "ondemand"}
        if chance < 0.6 or not others:
            return {"target": "spot"}
        return {"target": "pool", "pool_id": rng.choice(others).id}

    # --- Standbys of v5 -------------------------------------------------------------------------------------------

    def _launch_standby(self, workload: Workload, agent_id: str) -> None:
        own = workload.served[-1].instance.pool
        body = {"agent_id": agent_id, "target_mode": "spot", "target_pool_id": own.id, "role_hint": "replica"}
        reply = self._post("/api/client/instances/launch", body, "launch")
        self._follow(workload, reply, kind="launch")
        if reply.ok:
            command_id = str(reply.get("command_id"))
            action = partial(self._end_standby, workload, command_id)
            self.world.scheduler.after(STANDBY_SECONDS, action, key=workload.key)

    def _end_standby(self, workload: Workload, command_id: str) -> None:
        order = next((o for o in self.world.orders.all() if o.id == command_id), None)
        up = [i for i in workload.instances if order and i.id in order.launched and i.is_up(self.world.now)]
        for instance in up:
            if instance.id in workload.standbys and workload.serving is not None:
                reply = self._post(f"/api/client/instances/{instance.id}/terminate", {}, "terminate")
                self._follow(workload, reply, kind="terminate")

    # --- Answers --------------------------------------------------------------------------------------------------

    def _post(self, path: str, body: dict[str, str], kind: str) -> Reply:
        return self.world.transport.call(
            self._session, "POST", path, body, kind=kind, at=self.world.now, expected=REFUSALS
        )

    def _follow(self, workload: Workload, reply: Reply, *, kind: str) -> None:
        if not reply.ok:
            self.refused += reply.status in REFUSALS
            return
        if reply.get("command_id"):
            self.accepted += 1
            command_id = str(reply.get("command_id"))
            self.world.promises.order(command_id, self.world.now)
            self.world.orders.accept(
                command_id=command_id,
                request_id=str(reply.get("request_id") or ""),
                workload=workload.key,
                kind=kind,
                at=self.world.now,
            )
        workload.attend(ORDER, FETCH_SECONDS)
