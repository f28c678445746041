"""Rows that hang together: `AgentFactory()` has a primary, and its copied fields say what the primary's say."""

from datetime import timedelta
from decimal import Decimal

import factory
from django.contrib.auth import get_user_model
from factory.django import DjangoModelFactory

from agents.models import Agent, Command
from clients.models import Client
from instances.models import (
    Instance,
    InterruptionEpisode,
    OnDemandPrice,
    OnDemandPriceHistory,
    Pool,
    Replica,
    SpotPriceHistory,
    Switch,
    UsageInterval,
)
from notifications.models import Delivery, Notification, SystemEvent, WebhookEndpoint
from spotopt.common import clock, crypto
from spotopt.common.fields import Mode, pool_id_of


class ClientFactory(DjangoModelFactory):
    """`ClientFactory(token="…")` chooses the token; `token_of(client)` reads it back."""

    class Meta:
        model = Client

    class Params:
        token = factory.Sequence(lambda n: f"token-{n:064x}")

    name = factory.Sequence(lambda n: f"Client {n}")
    name_key = factory.LazyAttribute(lambda o: o.name.casefold())
    token_hash = factory.LazyAttribute(lambda o: crypto.token_hashes(o.token)[0])
    token_encrypted = factory.LazyAttribute(lambda o: crypto.encrypt(o.token))


def token_of(client):
    return crypto.decrypt(client.token_encrypted)


class OperatorFactory(DjangoModelFactory):
    class Meta:
        model = get_user_model()

    username = factory.Sequence(lambda n: f"operator{n}")
    is_staff = True
    is_superuser = True


class AgentFactory(DjangoModelFactory):
    """With `primary=False`, or an empty `instance_id`, there is no instance; `primary__private_ip=…` reaches in."""

    class Meta:
        model = Agent
        skip_postgeneration_save = True

    client = factory.SubFactory(ClientFactory)
    logical_agent_id = factory.Sequence(lambda n: f"web-{n}")
    protocol = Agent.Protocol.V4
    agent_version = "4.0.0"
    hostname = factory.Sequence(lambda n: f"host-{n}")
    last_heartbeat_at = factory.LazyFunction(clock.now)
    instance_id = factory.Sequence(lambda n: f"i-{n:017x}")
    instance_type = "t3.medium"
    region = "us-east-1"
    az = factory.LazyAttribute(lambda o: f"{o.region}a")
    ami_id = "ami-0123456789abcdef0"
    current_mode = Mode.SPOT
    current_pool_id = factory.LazyAttribute(
        lambda o: pool_id_of(o.instance_type, o.az) if o.current_mode == Mode.SPOT else ""
    )

    @factory.post_generation
    def primary(self, create, extracted, **fields):
        if not create or extracted is False or not self.instance_id:
            return
        copied = ["instance_id", "instance_type", "region", "az", "ami_id"]
        defaults = {name: getattr(self, name) for name in copied}
        InstanceFactory(agent=self, **defaults | {"mode": self.current_mode, "pool_id": self.current_pool_id} | fields)


class InstanceFactory(DjangoModelFactory):
    """A primary with an agent of its own unless told otherwise; a second instance of an agent needs a `status`."""

    class Meta:
        model = Instance
        skip_postgeneration_save = True

    agent = factory.SubFactory(AgentFactory, primary=False)
    client = factory.LazyAttribute(lambda o: o.agent.client if o.agent else ClientFactory())
    instance_id = factory.Sequence(lambda n: f"i-{n + 2**32:017x}")
    status = Instance.Status.PRIMARY
    mode = Mode.SPOT
    instance_type = "t3.medium"
    region = "us-east-1"
    az = factory.LazyAttribute(lambda o: f"{o.region}a")
    pool_id = factory.LazyAttribute(lambda o: pool_id_of(o.instance_type, o.az) if o.mode == Mode.SPOT else "")
    ami_id = "ami-0123456789abcdef0"
    launch_confirmed_at = factory.LazyFunction(clock.now)

    @factory.post_generation
    def mirror(self, create, extracted, **kwargs):
        if not create or not self.agent or self.status != Instance.Status.PRIMARY:
            return
        copied = ["instance_id", "instance_type", "region", "az", "ami_id"]
        fields = {name: getattr(self, name) for name in copied}
        fields |= {"current_mode": self.mode, "current_pool_id": self.pool_id}
        for name, value in fields.items():
            setattr(self.agent, name, value)
        self.agent.save(update_fields=list(fields))


class CommandFactory(DjangoModelFactory):
    class Meta:
        model = Command

    agent = factory.SubFactory(AgentFactory)
    client = factory.SelfAttribute("agent.client")
    command_type = Command.Type.SWITCH
    purpose = factory.LazyAttribute(
        lambda o: {
            Command.Type.SWITCH: Command.Purpose.SWITCH,
            Command.Type.LAUNCH_INSTANCE: Command.Purpose.SWITCH,
            Command.Type.CREATE_REPLICA: Command.Purpose.REPLICA,
            Command.Type.TERMINATE_INSTANCE: Command.Purpose.TERMINATE,
        }.get(o.command_type, Command.Purpose.OTHER)
    )
    priority = Command.Priority.MANUAL
    created_by = "manual"
    instance_id = factory.SelfAttribute("agent.instance_id")
    target_mode = Mode.SPOT
    expires_at = factory.LazyFunction(lambda: clock.now() + timedelta(hours=1))


class OnDemandPriceFactory(DjangoModelFactory):
    class Meta:
        model = OnDemandPrice
        django_get_or_create = ["instance_type", "region"]
        skip_postgeneration_save = True

    instance_type = "t3.medium"
    region = "us-east-1"
    price = Decimal("0.0416")
    changed_at = factory.LazyFunction(lambda: clock.now() - timedelta(days=30))
    last_confirmed_at = factory.LazyFunction(clock.now)

    @factory.post_generation
    def history(self, create, extracted, **kwargs):
        if create and extracted is not False:
            OnDemandPriceHistory.objects.get_or_create(quote=self, at=self.changed_at, defaults={"price": self.price})


class PoolFactory(DjangoModelFactory):
    """With its current price and the history row that started it; `price=None` was never quoted."""

    class Meta:
        model = Pool
        django_get_or_create = ["pool_id"]
        skip_postgeneration_save = True

    instance_type = "t3.medium"
    region = "us-east-1"
    az = factory.LazyAttribute(lambda o: f"{o.region}a")
    pool_id = factory.LazyAttribute(lambda o: pool_id_of(o.instance_type, o.az))
    ondemand = factory.SubFactory(
        OnDemandPriceFactory,
        instance_type=factory.SelfAttribute("..instance_type"),
        region=factory.SelfAttribute("..region"),
    )
    price = Decimal("0.0125")
    changed_at = factory.LazyAttribute(lambda o: clock.now() - timedelta(hours=1) if o.price else None)
    last_confirmed_at = factory.LazyAttribute(lambda o: clock.now() if o.price else None)
    recorded_at = factory.SelfAttribute("changed_at")

    @factory.post_generation
    def history(self, create, extracted, **kwargs):
        if create and extracted is not False and self.price is not None:
            SpotPriceHistory.objects.get_or_create(pool=self, at=self.changed_at, defaults={"price": self.price})


class ReplicaFactory(DjangoModelFactory):
    """A standby that is ready and bound to a running instance id; `instance_id=""` is still unbound."""

    class Meta:
        model = Replica

    agent = factory.SubFactory(AgentFactory)
    client = factory.SelfAttribute("agent.client")
    instance_id = factory.Sequence(lambda n: f"i-{n + 2**33:017x}")
    parent_instance_id = factory.SelfAttribute("agent.instance_id")
    status = Replica.Status.READY
    sync_status = Replica.SyncStatus.SYNCED
    instance_type = factory.SelfAttribute("agent.instance_type")
    region = factory.SelfAttribute("agent.region")
    az = factory.LazyAttribute(lambda o: f"{o.region}b")
    pool_id = factory.LazyAttribute(lambda o: pool_id_of(o.instance_type, o.az))


class SwitchFactory(DjangoModelFactory):
    """A reported move from an earlier instance to the agent's primary."""

    class Meta:
        model = Switch

    agent = factory.SubFactory(AgentFactory)
    client = factory.SelfAttribute("agent.client")
    source = Switch.Source.REPORTED
    trigger = Switch.Trigger.MANUAL
    old_instance_id = factory.Sequence(lambda n: f"i-{n + 2**34:017x}")
    new_instance_id = factory.SelfAttribute("agent.instance_id")
    old_instance_type = factory.SelfAttribute("agent.instance_type")
    new_instance_type = factory.SelfAttribute("agent.instance_type")
    old_mode = Mode.ONDEMAND
    new_mode = factory.SelfAttribute("agent.current_mode")
    new_pool_id = factory.SelfAttribute("agent.current_pool_id")


class UsageIntervalFactory(DjangoModelFactory):
    """An hour of a primary on spot that is not over yet; `ended_at=…` closes it."""

    class Meta:
        model = UsageInterval

    instance = factory.SubFactory(InstanceFactory)
    role = UsageInterval.Role.PRIMARY
    mode = factory.SelfAttribute("instance.mode")
    pool_id = factory.SelfAttribute("instance.pool_id")
    started_at = factory.LazyFunction(lambda: clock.now() - timedelta(hours=1))


class InterruptionEpisodeFactory(DjangoModelFactory):
    class Meta:
        model = InterruptionEpisode

    agent = factory.SubFactory(AgentFactory)
    client = factory.SelfAttribute("agent.client")
    instance_id = factory.SelfAttribute("agent.instance_id")
    kind = InterruptionEpisode.Kind.TERMINATION
    pool_id = factory.SelfAttribute("agent.current_pool_id")


class SystemEventFactory(DjangoModelFactory):
    class Meta:
        model = SystemEvent

    client = factory.SubFactory(ClientFactory)
    event_type = "client_created"
    message = "Something happened"


class NotificationFactory(DjangoModelFactory):
    class Meta:
        model = Notification

    client = factory.SubFactory(ClientFactory)
    notification_type = "client_created"
    message = "Something to read"


class WebhookEndpointFactory(DjangoModelFactory):
    class Meta:
        model = WebhookEndpoint

    class Params:
        secret = "whsec_for_tests"

    name = factory.Sequence(lambda n: f"Webhook {n}")
    url = "https://hooks.example.com/in?key=path-secret"
    min_severity = "info"
    secret_encrypted = factory.LazyAttribute(lambda o: crypto.encrypt(o.secret))


class DeliveryFactory(DjangoModelFactory):
    class Meta:
        model = Delivery

    notification = factory.SubFactory(NotificationFactory)
    endpoint = factory.SubFactory(WebhookEndpointFactory)
