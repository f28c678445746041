"""The steps of an import, in the order in which one needs the other."""

from spotopt.legacy.steps.agents import Agents
from spotopt.legacy.steps.clients import Clients
from spotopt.legacy.steps.events import Events
from spotopt.legacy.steps.instances import Instances, OwnInstances
from spotopt.legacy.steps.market import OnDemandPrices, Pools, SpotPrices
from spotopt.legacy.steps.models import ModelSessions
from spotopt.legacy.steps.notifications import Notifications
from spotopt.legacy.steps.replicas import Replicas
from spotopt.legacy.steps.savings import MonthlySavings, TotalSavings
from spotopt.legacy.steps.switches import Switches
from spotopt.legacy.tables import Step

PRICES: tuple[type[Step], ...] = (Pools, OnDemandPrices, SpotPrices)
STEPS: tuple[type[Step], ...] = (
    Clients,
    Agents,
    Instances,
    OwnInstances,
    Replicas,
    Switches,
    Notifications,
    Events,
    ModelSessions,
    TotalSavings,
    MonthlySavings,
    *PRICES,
)
