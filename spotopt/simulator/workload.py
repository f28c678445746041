"""A protected workload: the thing that is served, whichever instance serves it, and the agents on its instances."""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spotopt.simulator.ec2 import Ec2Error, Instance
from spotopt.simulator.prices import Pool
from spotopt.simulator.world import World

if TYPE_CHECKING:
    from spotopt.simulator.dialects.base import AgentProcess

AGENT_BOOT_SECONDS = (20, 45)  # from "running" until the agent's service starts
BOOT, ORDER, INTERRUPTION, LEFTOVER = "boot", "order", "interruption", "leftover"
READS_CONFIG_SECONDS = 90  # a standby is disabled, so it fetches no orders until its config says otherwise
LEFTOVER_SECONDS = 700  # the boot of the successor, the usual wait of 300, and its next polls


@dataclass
class Serving:
    instance: Instance
    since: float
    until: float | None = None


class Workload:
    """`attend` says that something is under way, so that its agents call at their true rates."""

    def __init__(self, world: World, *, key: str, dialect: type["AgentProcess"], pool: Pool, mode: str) -> None:
        self.world = world
        self.key = key
        self.dialect = dialect
        self.pool = pool  # where it starts
        self.mode = mode
        self.ami_id = f"ami-{random.Random(f'{world.seed}:{key}').getrandbits(68):017x}"
        self.rng: random.Random = world.rng(key)
        self.instances: list[Instance] = []
        self.processes: dict[str, AgentProcess] = {}
        self.served: list[Serving] = []
        self.standbys: set[str] = set()  # instance ids of replicas: they serve only once promoted
        self.replica_launches: dict[str, list[str]] = {}  # by the server's id of the request
        self.broken: set[str] = set()  # instance ids whose agent died in an emergency
        self.interruptions = 0
        self.switches = 0
        self.failovers = 0
        self._reasons: dict[str, float] = {}

    # --- Who serves ---------------------------------------------------------------------------------------------

    @property
    def serving(self) -> Instance | None:
        """The instance that has the traffic, while it is up."""
        last = self.served[-1] if self.served else None
        return last.instance if last and last.until is None and last.instance.is_up(self.world.now) else None

    @property
    def agent(self) -> "AgentProcess | None":
        """The agent of the serving instance, while it runs."""
        process = self.processes.get(self.serving.id) if self.serving else None
        return process if process and process.is_alive else None

    def serve(self, instance: Instance) -> None:
        """The traffic goes to `instance` from now on."""
        self.stop_serving()
        self.served.append(Serving(instance, self.world.now))

    def stop_serving(self) -> None:
        if self.served and self.served[-1].until is None:
            self.served[-1].until = self.world.now

    # --- Instances and their agents -----------------------------------------------------------------------------

    def launch(self, *, pool: Pool, mode: str, surely: bool = False) -> Instance:
        """Raises Ec2Error. The image has the agent baked in; it starts a while after the machine."""
        instance = self.world.cloud.launch(
            owner=self.key, pool=pool, mode=mode, ami_id=self.ami_id, now=self.world.now, rng=self.rng, surely=surely
        )
        self.instances.append(instance)
        boot = instance.running_at + self.rng.uniform(*AGENT_BOOT_SECONDS)
        self.world.scheduler.at(boot, lambda: self._start_agent(instance), key=self.key)
        return instance

    def terminate(self, instance_id: str, *, surely: bool = False) -> Instance:
        """Raises Ec2Error. The agent on it dies within seconds; traffic that was on it is lost."""
        world = self.world
        instance = world.cloud.terminate(instance_id, now=world.now, rng=self.rng, surely=surely)
        self._end(instance)
        return instance

    def lose(self, instance: Instance) -> None:
        """EC2 takes it back."""
        self.world.cloud.reclaim(instance, now=self.world.now)
        self._end(instance)

    def restart_agent(self, instance: Instance, *, after: float) -> None:
        self.world.scheduler.after(after, lambda: self._start_agent(instance), key=self.key)

    def _start_agent(self, instance: Instance) -> None:
        if not instance.is_up(self.world.now):
            return
        running = self.processes.get(instance.id)
        if running and running.is_alive:
            return
        self.attend(BOOT, 90)
        process = self.dialect(self.world, self, instance)
        process.remember(running)
        self.processes[instance.id] = process
        process.start()

    def _end(self, instance: Instance) -> None:
        process = self.processes.get(instance.id)
        if process and process.is_alive:
            process.die()
        if self.served and self.served[-1].instance is instance:
            self.stop_serving()

    def move_from(self, instance: Instance, target: Instance) -> None:
        """A switch was carried out: `target` takes the traffic that `instance` had."""
        if target.is_up(self.world.now) and (self.serving in (instance, None)):
            self.serve(target)
            self.switches += 1
            self.attend(LEFTOVER, LEFTOVER_SECONDS)  # the old host may be gone, but the server has to be told

    def failed_over(self, instance: Instance, *, to: object) -> None:
        """The server promoted the standby `to` because `instance` is about to go."""
        standby = next((i for i in self.instances if i.id == to and i.is_up(self.world.now)), None)
        if standby and self.serving is instance:
            self.promoted(standby)

    def promoted(self, instance: Instance) -> None:
        """The server calls the agent on `instance` the primary: a standby takes over from a host that is going."""
        current = self.serving
        if instance.id in self.standbys and (current is None or current.reclaim_at is not None):
            self.standbys.discard(instance.id)
            self.serve(instance)
            self.failovers += 1
            self.attend(BOOT, READS_CONFIG_SECONDS)

    # --- Attention ----------------------------------------------------------------------------------------------

    def attend(self, reason: str, seconds: float) -> None:
        self._reasons[reason] = max(self._reasons.get(reason, 0.0), self.world.now + seconds)
        for process in list(self.processes.values()):
            process.wake(reason)

    def is_attended(self, *reasons: str) -> bool:
        return any(self._reasons.get(reason, 0.0) > self.world.now for reason in reasons)

    @property
    def is_calm(self) -> bool:
        """Nothing is under way: one instance, serving, its agent up."""
        return self.agent is not None and not self.is_attended(BOOT, ORDER, INTERRUPTION) and not self.leftovers()

    def leftovers(self) -> list[Instance]:
        """Running instances that do not serve."""
        return [i for i in self.instances if i.ended_at is None and i is not self.serving]

    def successor_in_waiting(self) -> Instance | None:
        """Launched to take over, and up, but the old host went before it could hand over."""
        return next((i for i in self._successors() if i.is_up(self.world.now)), None)

    def is_successor_coming(self) -> bool:
        return bool(self._successors())

    def _successors(self) -> list[Instance]:
        have_served = {s.instance.id for s in self.served}
        return [i for i in self.leftovers() if i.id not in have_served and i.id not in self.standbys]

    def replace(self, *, pools: list[Pool]) -> bool:
        """What autoscaling does after a loss: a new machine from the same image. False when EC2 has no capacity."""
        try:
            instance = self.launch(pool=self.rng.choice(pools), mode=self.mode_now)
        except Ec2Error:
            return False
        self.world.scheduler.at(instance.running_at + 1, lambda: self._take_over(instance), key=self.key)
        return True

    def _take_over(self, instance: Instance) -> None:
        if self.serving is None and instance.is_up(self.world.now):
            self.serve(instance)

    @property
    def mode_now(self) -> str:
        return self.served[-1].instance.mode if self.served else self.mode
