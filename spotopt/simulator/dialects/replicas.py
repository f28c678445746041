"""v4's replica workers: launch what the server lists as launching, terminate what it lists as terminated.

agent-api 3.20–3.25. They work whether or not the agent is enabled, as in the real agent.
"""

from typing import Any

from spotopt.simulator.dialects.base import AgentProcess
from spotopt.simulator.ec2 import Ec2Error, Instance
from spotopt.simulator.orders import Order
from spotopt.simulator.prices import Pool
from spotopt.simulator.workload import INTERRUPTION

READY_STEP_SECONDS = 15  # the waiter's poll: "ready" comes that late (agent-api 9.4)


class ReplicaWorkers(AgentProcess):
    def launch_replicas(self) -> None:
        for entry in self._listed("launching"):
            az = str(entry.get("az") or (entry.get("pool") or {}).get("az") or "")
            if az:
                self._launch_replica(str(entry["id"]), az)

    def terminate_replicas(self) -> None:
        for entry in self._listed("terminated"):
            if entry.get("instance_id"):
                self._terminate_replica(str(entry["id"]), str(entry["instance_id"]))

    def create_replica(self, command: dict[str, Any]) -> None:
        """The `create_replica` command: the instance first, then the replica (agent-api 3.5, 3.21)."""
        order = self.world.orders.deliver(
            str(command["id"]),
            workload=self.workload.key,
            kind="create_replica",
            instance_id=self.instance.id,
            at=self.world.now,
        )
        az = str(command.get("target_pool_id") or self.instance.pool.az).rpartition(".")[2]
        instance = self._launch_standby(az)
        if instance is None:
            order.outcome = "failed"
            self.acknowledge(command, success=False, message="launch failed")
            return
        order.launched.append(instance.id)
        self.is_executing = True
        self.later(instance.running_at - self.world.now, lambda: self._announce_replica(command, order, instance))

    def acknowledge(self, command: dict[str, Any], *, success: bool, message: str) -> None:
        raise NotImplementedError

    def _announce_replica(self, command: dict[str, Any], order: Order, instance: Instance) -> None:
        self.is_executing = False
        body = {
            "instance_id": instance.id,
            "replica_type": "manual",
            "parent_instance_id": self.instance.id,
            "pool_id": instance.pool.id,
            "status": "launching",
        }
        reply = self.post("replicas", body, kind="replicas")
        replica_id = str(reply.get("replica_id"))
        self._say(replica_id, {"status": "syncing", "sync_started_at": self.iso()})
        self._say_ready(replica_id)
        order.outcome = "done"
        self.acknowledge(command, success=True, message=f"Replica {replica_id} created")

    def _listed(self, status: str) -> list[dict[str, Any]]:
        reply = self.get("replicas", query=f"?status={status}")
        rows = reply.body if isinstance(reply.body, list) else reply.get("replicas", [])
        return [row for row in rows if isinstance(row, dict)] if reply.ok else []

    def _launch_replica(self, replica_id: str, az: str) -> None:
        instance = self._launch_standby(az)
        if instance is None:
            self._say(replica_id, {"status": "failed", "error_message": "InsufficientInstanceCapacity"})
            return
        self.workload.replica_launches.setdefault(replica_id, []).append(instance.id)
        path = f"/api/agents/{self.agent_id}/replicas/{replica_id}"
        self.call("PUT", path, {"instance_id": instance.id, "status": "syncing"}, kind="replicas")
        ready = instance.running_at - self.world.now + READY_STEP_SECONDS
        self.later(ready, lambda: self._say_ready(replica_id))

    def _say_ready(self, replica_id: str) -> None:
        self._say(replica_id, {"status": "ready", "sync_completed_at": self.iso()})

    def _launch_standby(self, az: str) -> Instance | None:
        own = self.instance.pool
        try:
            instance = self.workload.launch(pool=Pool(own.instance_type, az, own.region), mode="spot")
        except Ec2Error:
            return None
        self.workload.standbys.add(instance.id)
        self.workload.attend(INTERRUPTION, 300)
        return instance

    def _terminate_replica(self, replica_id: str, instance_id: str) -> None:
        try:
            self.workload.terminate(instance_id)
        except Ec2Error as error:
            if "NotFound" not in str(error):
                return  # not reported and not tried again by this process
        body = {"status": "terminated", "is_active": False, "terminated_at": self.iso()}
        if self._say(replica_id, body):
            self.world.promises.terminate(instance_id, self.world.now)

    def _say(self, replica_id: str, body: dict[str, Any]) -> bool:
        return self.post(f"replicas/{replica_id}/status", body, kind="replicas").ok
