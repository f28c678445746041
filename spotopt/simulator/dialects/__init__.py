"""The agent programs in the field, each as it behaves towards the server (agent-api 1.1)."""

from spotopt.simulator.dialects.base import AgentProcess
from spotopt.simulator.dialects.v2 import AgentV2
from spotopt.simulator.dialects.v4 import AgentV4
from spotopt.simulator.dialects.v4b import AgentV4b
from spotopt.simulator.dialects.v5 import AgentV5

DIALECTS: dict[str, type[AgentProcess]] = {agent.dialect: agent for agent in (AgentV4, AgentV2, AgentV4b, AgentV5)}
