"""One agent process on one instance: its HTTP session, its periodic workers, its life and death.

A dialect is a subclass that says which workers it has and what it sends. Everything it may know is its own
instance (the metadata service), its EC2 account and the server's answers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from spotopt.simulator.ec2 import Instance
from spotopt.simulator.events import Event
from spotopt.simulator.transport import Reply
from spotopt.simulator.workload import BOOT, INTERRUPTION, ORDER, Workload
from spotopt.simulator.world import World

HOUR = 3600
COMPARED_HEARTBEAT_SECONDS = 90  # within the server's timeout of 120
STARTED_AGAIN = 0.5  # share of the agents that died after a notice


@dataclass
class Worker:
    """A periodic call. It keeps its true rate while one of `urgent` is under way (see Pace)."""

    name: str
    interval: float
    action: Callable[[], None]
    urgent: tuple[str, ...]
    phase: float
    longest: float = math.inf  # seconds; how far its interval may be stretched
    event: Event | None = None


class AgentProcess:
    dialect: ClassVar[str]
    version: ClassVar[str]
    restart_delay: ClassVar[float] = 10  # its service manager starts it again (agent-api 1.1)
    says_goodbye: ClassVar[bool] = True

    def __init__(self, world: World, workload: Workload, instance: Instance) -> None:
        self.world = world
        self.workload = workload
        self.instance = instance
        self.rng = workload.rng
        self.agent_id: str | None = None
        self.enabled = True
        self.is_alive = False
        self.is_executing = False  # a command, which blocks the command worker
        self.workers: list[Worker] = []
        self.notice_deadline: float | None = None
        self.started_at = world.now
        self.session = world.transport.session(source_ip=instance.private_ip)

    # --- What a dialect defines -----------------------------------------------------------------------------------

    def registration(self) -> dict[str, Any]:
        pool = self.instance.pool
        return {
            "logical_agent_id": self.workload.key,
            "instance_id": self.instance.id,
            "instance_type": pool.instance_type,
            "region": pool.region,
            "az": pool.az,
            "ami_id": self.instance.ami_id,
            "hostname": f"ip-{self.instance.private_ip.replace('.', '-')}",
            "agent_version": self.version,
        }

    def add_workers(self) -> None:
        """Called once after registration; use `every`."""
        raise NotImplementedError

    def notice(self, deadline: float) -> None:
        """The metadata service says that EC2 will take the instance at `deadline`."""
        self.notice_deadline = deadline
        if self.instance.heard_at is None:
            own, cloud = self.instance.pool, self.world.cloud
            self.instance.heard_at = self.world.now
            pools = set(self.world.prices.pools(own.instance_type, own.region))
            self.instance.alternatives = pools - {own} - cloud.exhausted

    def rebalance(self) -> None:
        """The metadata service shows a rebalance recommendation."""

    def remember(self, predecessor: "AgentProcess | None") -> None:
        """What survives a restart on disk."""

    # --- Life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.is_alive = True
        if not self.register():
            self.stop_and_restart(goodbye=False)
            return
        self.add_workers()
        notice_at, reclaim_at = self.instance.notice_at, self.instance.reclaim_at
        if notice_at is not None and reclaim_at is not None and self.world.now >= notice_at:
            self.notice(reclaim_at)  # the metadata service still shows it after a restart
        self._plan_restart()

    def register(self) -> bool:
        reply = self.call("POST", "/api/agents/register", self.registration(), kind="register")
        config = reply.get("config")
        if not reply.ok or not isinstance(config, dict) or not reply.get("agent_id"):
            if reply.ok:
                self.world.transport.complain("register: answer", f"agent_id or config is missing: {reply.body}")
            return False
        self.agent_id = str(reply.get("agent_id"))
        self.enabled = bool(config.get("enabled", True))
        self.world.promises.register(self.instance.id, self.agent_id)
        return True

    def stop_and_restart(self, *, goodbye: bool = True) -> None:
        if goodbye and self.says_goodbye:
            self.say_goodbye()
        self.die()
        self.workload.restart_agent(self.instance, after=self.restart_delay)

    def say_goodbye(self) -> None:
        self.post("heartbeat", {"status": "offline"})

    def die(self) -> None:
        self.is_alive = False
        for worker in self.workers:
            if worker.event:
                worker.event.cancel()
        self.session.close()

    def breaks_down(self) -> bool:
        """Between two calls of an emergency: the process dies.

        Its service manager starts it again, unless the machine, soon to be taken, is past that.
        """
        chance = self.world.chances.dies_in_emergency
        if not chance or self.rng.random() >= chance:
            return False
        self.workload.broken.add(self.instance.id)
        if self.notice_deadline is None or self.rng.random() < STARTED_AGAIN:
            self.stop_and_restart(goodbye=False)
        else:
            self.die()
        return True

    def _plan_restart(self) -> None:
        """Updates and crashes restart an agent now and then."""
        mean = self.world.chances.hours_between_restarts * HOUR
        self.later(self.rng.expovariate(1 / mean), self._restart_when_idle)

    def _restart_when_idle(self) -> None:
        if self.is_executing or self.notice_deadline or self.world.is_winding_down:
            return
        self.stop_and_restart()

    # --- Time -----------------------------------------------------------------------------------------------------

    def later(self, seconds: float, action: Callable[[], None]) -> Event:
        """`action` after a while, if this process still lives then."""

        def act() -> None:
            if self.is_alive:
                action()

        return self.world.scheduler.after(seconds, act, key=self.workload.key)

    def every(
        self,
        interval: float,
        action: Callable[[], None],
        *,
        first: float = 0.0,
        urgent: tuple[str, ...] = (BOOT,),
        longest: float = math.inf,
    ) -> None:
        """Start a periodic worker `first` seconds from now."""
        pace = self.world.pace
        if action == self.heartbeat:  # just before a round, after which the server looks for silent agents
            phase = -float(self.rng.choice((5, 10, 15, 20, 25)))
        else:
            phase = math.floor(self.rng.random() * 12) / 12 * interval * pace.stretch
        worker = Worker(action.__name__, interval, action, urgent, phase, longest)
        self.workers.append(worker)
        worker.event = self.later(first + 0.2, partial(self._work, worker))

    def wake(self, reason: str) -> None:
        """Something began: workers that care go over to their true rate."""
        if not self.is_alive or not self.world.pace.is_stretched:
            return
        for worker in self.workers:
            if reason in worker.urgent:
                self._bring_forward(worker, within=worker.interval)

    def hurry(self, action: Callable[[], None], *, within: float) -> None:
        """Bring one worker's next call forward."""
        for worker in self.workers:
            if worker.action == action:
                self._bring_forward(worker, within=within)

    def _bring_forward(self, worker: Worker, *, within: float) -> None:
        delay = self.rng.random() * within
        if worker.event and worker.event.at > self.world.now + delay:
            worker.event.cancel()
            worker.event = self.later(delay, partial(self._work, worker))

    def _work(self, worker: Worker) -> None:
        worker.action()
        if not self.is_alive:
            return
        now = self.world.now
        if not self.world.pace.is_stretched or self.workload.is_attended(*worker.urgent):
            due = now + worker.interval
        else:
            due = self.world.pace.idle_due(now, worker.interval, phase=worker.phase, longest=self._longest(worker))
        worker.event = self.later(due - now, partial(self._work, worker))

    def _longest(self, worker: Worker) -> float:
        """Where several instances of an agent run, the server compares who was heard last."""
        is_compared = worker.action == self.heartbeat and self.workload.leftovers()
        return min(worker.longest, COMPARED_HEARTBEAT_SECONDS) if is_compared else worker.longest

    # --- Talk -----------------------------------------------------------------------------------------------------

    def heartbeat(self) -> None:
        raise NotImplementedError

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        kind: str,
        expected: tuple[int, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> Reply:
        transport = self.world.transport
        return transport.call(
            self.session, method, path, body, kind=kind, at=self.world.now, expected=expected, headers=headers
        )

    def get(self, name: str, *, query: str = "", kind: str = "") -> Reply:
        return self.call("GET", f"/api/agents/{self.agent_id}/{name}{query}", kind=kind or name)

    def post(self, name: str, body: dict[str, Any], *, kind: str = "", expected: tuple[int, ...] = ()) -> Reply:
        reply = self.call("POST", f"/api/agents/{self.agent_id}/{name}", body, kind=kind or name, expected=expected)
        if name == "heartbeat" and reply.get("role") == "primary":
            self.workload.promoted(self.instance)  # traffic follows the server's word
        return reply

    def read_config(self) -> None:
        reply = self.get("config")
        if not reply.ok:
            return
        enabled = reply.get("enabled", True)
        if not isinstance(enabled, bool):
            self.world.transport.complain("config: answer", f"enabled is {enabled!r}, agents need true or false")
        self.enabled = bool(enabled)

    def iso(self, at: float | None = None, *, style: str = "offset") -> str:
        """How agents write a moment (agent-api 1.6): `offset` v4, `naive` v5, `naive-z` v2."""
        moment = datetime.fromtimestamp(self.world.now if at is None else at, UTC)
        if style == "offset":
            return moment.isoformat()
        return moment.replace(tzinfo=None).isoformat() + ("Z" if style == "naive-z" else "")


ATTENTIVE = (BOOT, ORDER, INTERRUPTION)
