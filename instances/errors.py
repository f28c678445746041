from spotopt.common.errors import Conflict, DomainError, NotFound


class InstanceNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("There is no such instance")


class PoolNotFound(NotFound):
    code = "POOL_NOT_FOUND"

    def __init__(self, pool_id: str) -> None:
        super().__init__(f"There is no pool {pool_id}")


class NoSuitablePool(Conflict):
    code = "NO_SUITABLE_POOL"


class PriceUnknown(DomainError):
    code = "PRICE_UNKNOWN"
    status_code = 422


class AgentUnavailable(Conflict):
    """The agent is deleted, disabled or offline, so nobody would fetch the order."""

    code = "AGENT_UNAVAILABLE"


class AutoSwitchDisabled(DomainError):
    """Agents take a 403 here for "not wanted" and carry on (agent-api 3.15)."""

    code = "AUTO_SWITCH_DISABLED"
    status_code = 403


class ReplicaNotFound(NotFound):
    code = "REPLICA_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such replica")
