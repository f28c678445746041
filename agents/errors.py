from spotopt.common.errors import Conflict, Invalid, NotFound


class AgentNotFound(NotFound):
    """Unknown, foreign and deleted agents only: on this answer one build uninstalls itself (agent-api 3.4)."""

    code = "AGENT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such agent")


class CommandNotFound(NotFound):
    code = "COMMAND_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such command")


class AgentDisabled(Invalid):
    code = "AGENT_DISABLED"


class UnsupportedByAgent(Conflict):
    """The agent's generation can never fetch or execute this order (agent-api 1.10)."""

    code = "UNSUPPORTED_BY_AGENT"


class SwitchPending(Conflict):
    code = "SWITCH_PENDING"
