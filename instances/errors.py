from spotopt.common.errors import Conflict, NotFound


class InstanceNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("There is no such instance")


class PoolNotFound(NotFound):
    code = "POOL_NOT_FOUND"

    def __init__(self, pool_id: str) -> None:
        super().__init__(f"There is no pool {pool_id}")


class NoSuitablePool(Conflict):
    code = "NO_SUITABLE_POOL"


class AgentUnavailable(Conflict):
    """The agent is deleted, disabled or offline, so nobody would fetch the order."""

    code = "AGENT_UNAVAILABLE"
