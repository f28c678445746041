"""The fleet in the operators' console. Roles change through services alone."""

from instances.admin import agents, history, machines, market, orders  # noqa: F401 (each registers its models)
