"""The buttons of the console: each goes through the service the API uses, and says what came of it."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry

from agents.models import Agent, Command
from clients.models import Client
from clients.roles import ADMINISTRATORS, OPERATORS
from instances.models import Instance, InterruptionEpisode, Replica
from notifications.models import SystemEvent
from spotopt.common import clock
from tests.factories import (
    AgentFactory,
    ClientFactory,
    CommandFactory,
    InstanceFactory,
    PoolFactory,
    ReplicaFactory,
    token_of,
)
from tests.spotopt.console.conftest import page

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _noon():
    with time_machine.travel("2026-03-10 12:00Z", tick=False):
        yield


@pytest.fixture
def operator(person, _noon):
    return person(OPERATORS)


@pytest.fixture
def administrator(person, _noon):
    return person(ADMINISTRATORS)


@pytest.fixture
def agent(_noon):
    return AgentFactory(logical_agent_id="web")


class TestMoves:
    def test_are_asked_where_to_with_the_agents_pools(self, operator, agent):
        PoolFactory(az="us-east-1b")
        PoolFactory(instance_type="m5.large")
        html = operator.press(Agent, "move", agent).content.decode()
        assert "t3.medium.us-east-1b: 0.0125 USD/h" in html
        assert "m5.large" not in html
        assert not Command.objects.exists()

    @pytest.mark.parametrize(
        ("target", "ordered"),
        [
            ("ondemand", ("ondemand", "")),
            ("cheapest", ("spot", "t3.medium.us-east-1b")),
            ("t3.medium.us-east-1c", ("spot", "t3.medium.us-east-1c")),
        ],
    )
    def test_are_ordered(self, operator, agent, target, ordered):
        PoolFactory(az="us-east-1b", price="0.01")
        PoolFactory(az="us-east-1c", price="0.02")
        said = operator.told(Agent, "move", agent, target=target)
        assert said == [f"agent web: the move to {ordered[1] or ordered[0]} was ordered"]
        command = Command.objects.get()
        assert (command.target_mode, command.target_pool_id) == ordered
        assert SystemEvent.objects.get(event_type="manual_switch_requested").actor == operator.user.username

    @pytest.mark.parametrize(("old", "seconds"), [("", 300), ("true", 300), ("false", 0)])
    def test_end_the_old_instance_as_wished(self, operator, agent, old, seconds):
        operator.told(Agent, "move", agent, target="ondemand", old=old)
        assert Command.objects.get().terminate_wait_seconds == seconds

    def test_that_are_refused_say_why_and_the_others_go_on(self, operator, agent):
        offline = AgentFactory(logical_agent_id="mail", status="offline")
        said = operator.told(Agent, "move", agent, offline, target="ondemand")
        assert sorted(said) == ["agent mail: The agent is offline", "agent web: the move to ondemand was ordered"]
        texts = LogEntry.objects.order_by("object_repr").values_list("object_repr", "change_message")
        assert list(texts) == [
            ("mail", "Refused: The agent is offline"),
            ("web", "the move to ondemand was ordered"),
        ]

    def test_to_a_pool_nobody_offered_are_asked_again(self, operator, agent):
        answer = operator.press(Agent, "move", agent, target="nonsense", confirmed="yes")
        assert "Select a valid choice" in answer.content.decode()
        assert not Command.objects.exists()


class TestAgents:
    def test_are_disabled_and_enabled(self, operator, agent):
        assert operator.told(Agent, "disable", agent) == ["agent web: disabled"]
        agent.refresh_from_db()
        assert not agent.enabled
        assert operator.told(Agent, "enable", agent) == ["agent web: enabled"]
        actors = SystemEvent.objects.filter(event_type="agent_toggled").values_list("actor", flat=True)
        assert list(actors) == [operator.user.username] * 2

    def test_are_removed_after_a_question(self, operator, agent):
        assert "history stays" in operator.press(Agent, "remove", agent).content.decode()
        assert operator.told(Agent, "remove", agent) == ["agent web: removed"]
        agent.refresh_from_db()
        assert agent.is_deleted

    def test_rehearse_an_interruption_after_a_question(self, operator, agent):
        ReplicaFactory(agent=agent)
        operator.press(Agent, "rehearse_interruption", agent)
        assert not InterruptionEpisode.objects.exists()
        operator.told(Agent, "rehearse_interruption", agent)
        assert InterruptionEpisode.objects.get().is_drill

    def test_offer_on_their_page_what_makes_sense_there(self, operator, agent):
        def buttons():
            return dict(operator.browser.get(page(Agent, "change", agent.pk)).context["buttons"])

        assert set(buttons()) == {"move", "rehearse_interruption", "disable", "remove"}
        Agent.objects.update(enabled=False, instance_id="")
        assert set(buttons()) == {"enable", "remove"}

    def test_link_to_what_belongs_to_them(self, operator, agent):
        CommandFactory(agent=agent)
        CommandFactory()
        links = dict(operator.browser.get(page(Agent, "change", agent.pk)).context["links"])
        for address in links.values():
            assert operator.browser.get(address).status_code == 200
        assert operator.browser.get(links["Orders"]).context["cl"].result_count == 1


class TestStandbys:
    def test_are_promoted(self, operator, agent):
        standby = ReplicaFactory(agent=agent)
        assert "moves to this standby" in operator.press(Replica, "promote", standby).content.decode()
        operator.told(Replica, "promote", standby)
        agent.refresh_from_db()
        assert agent.instance_id == standby.instance_id
        assert SystemEvent.objects.get(event_type="replica_promoted").actor == operator.user.username

    def test_that_cannot_be_promoted_say_why(self, operator, agent):
        standby = ReplicaFactory(agent=agent, status="launching")
        assert "not ready yet" in operator.told(Replica, "promote", standby)[0]

    def test_are_ended(self, operator, agent):
        standby = ReplicaFactory(agent=agent)
        operator.told(Replica, "end", standby)
        standby.refresh_from_db()
        assert standby.status == "terminated"


class TestOrders:
    def test_that_wait_are_taken_back(self, operator, agent):
        command = CommandFactory(agent=agent)
        assert operator.told(Command, "cancel", command) == [f"command {command}: cancelled"]
        command.refresh_from_db()
        assert (command.status, command.message) == ("cancelled", f"cancelled by {operator.user.username}")
        assert SystemEvent.objects.get(event_type="command_cancelled").actor == operator.user.username

    @pytest.mark.parametrize("status", ["delivered", "completed"])
    def test_that_were_fetched_are_not(self, operator, agent, status):
        command = CommandFactory(agent=agent, status=status)
        assert f"The order is {status}" in operator.told(Command, "cancel", command)[0]
        command.refresh_from_db()
        assert command.status == status

    def test_of_a_launch_take_what_was_to_be_launched_with_them(self, operator):
        agent = AgentFactory(protocol="v5")
        command = CommandFactory(agent=agent, command_type="LAUNCH_INSTANCE", purpose="replica")
        standby = ReplicaFactory(agent=agent, instance_id="", status="launching", launch_command_id=command.public_id)
        placeholder = InstanceFactory(
            agent=agent, instance_id="i-pending-1", status="launching", command_id=command.public_id
        )
        operator.told(Command, "cancel", command)
        for row in (command, standby, placeholder):
            row.refresh_from_db()
        assert (command.status, standby.status, placeholder.status) == ("cancelled", "terminated", "terminated")


class TestTerminations:
    @pytest.fixture
    def zombie(self, agent):
        return InstanceFactory(
            agent=agent, status="zombie", termination_hold=True, zombie_since=clock.now() - timedelta(hours=1)
        )

    def test_that_are_held_are_released(self, operator, agent, zombie, tenant_api):
        assert "Look first" in operator.press(Instance, "release_termination", zombie).content.decode()
        assert operator.told(Instance, "release_termination", zombie) == [f"instance {zombie}: may be terminated"]
        tenant_api.bearer(token_of(agent.client))
        due = tenant_api.get(f"/api/agents/{agent.public_id}/instances-to-terminate").json()["instances"]
        assert [one["instance_id"] for one in due] == [zombie.instance_id]
        assert SystemEvent.objects.get(event_type="termination_released").actor == operator.user.username

    def test_that_were_given_up_start_over(self, operator, zombie):
        Instance.objects.filter(pk=zombie.pk).update(termination_hold=False, termination_attempts=5)
        operator.told(Instance, "release_termination", zombie)
        zombie.refresh_from_db()
        assert zombie.termination_attempts == 0

    def test_of_what_serves_or_is_gone_are_not_released(self, operator, agent, zombie):
        primary = agent.instances.get(status="running_primary")
        assert "does not wait" in operator.told(Instance, "release_termination", primary)[0]
        operator.told(Instance, "release_termination", zombie)
        assert "is not held back" in operator.told(Instance, "release_termination", zombie)[0]

    def test_an_instance_that_is_gone_is_said_to_be(self, operator, zombie):
        assert operator.told(Instance, "confirm_gone", zombie) == [f"instance {zombie}: counts as gone"]
        zombie.refresh_from_db()
        assert (zombie.status, zombie.termination_confirmed) == ("terminated", True)
        assert "is known to be gone" in operator.told(Instance, "confirm_gone", zombie)[0]

    def test_so_is_a_primary_and_its_agent_is_offline(self, operator, agent):
        primary = agent.instances.get()
        operator.told(Instance, "confirm_gone", primary)
        agent.refresh_from_db()
        assert (agent.status, agent.instance_id) == ("offline", "")

    def test_are_ordered(self, operator, agent):
        standby = InstanceFactory(agent=agent, status="running_replica")
        assert operator.told(Instance, "terminate", standby) == [f"instance {standby}: is terminating"]

    def test_of_an_instance_without_an_agent_are_nobodys(self, operator):
        stray = InstanceFactory(agent=None, status="zombie", termination_hold=True)
        assert "belongs to no agent" in operator.told(Instance, "release_termination", stray)[0]


class TestTokens:
    def test_are_shown_after_a_question_and_that_is_written_down(self, administrator):
        client = ClientFactory()
        token = token_of(client)
        assert token not in administrator.press(Client, "reveal_token", client).content.decode()
        answer = administrator.press(Client, "reveal_token", client, confirmed="yes")
        assert token in answer.content.decode()
        assert "no-store" in answer.headers["Cache-Control"]
        assert SystemEvent.objects.get(event_type="token_revealed").actor == administrator.user.username
        assert token not in str(LogEntry.objects.values_list("change_message", "object_repr"))
        assert token not in str(administrator.browser.cookies)


def test_more_rows_than_a_browser_waits_for_are_refused(operator, monkeypatch):
    monkeypatch.setattr("spotopt.common.admin.MOST_AT_ONCE", 1)
    agents = AgentFactory.create_batch(2)
    assert operator.told(Agent, "disable", *agents) == ["Select at most 1 rows"]
    assert Agent.objects.filter(enabled=True).count() == 2


@pytest.mark.parametrize(
    "back", ["/admin/", "https://elsewhere.example/", "//elsewhere.example/", "/\\elsewhere.example"]
)
def test_a_button_leads_back_to_where_it_stood_but_never_elsewhere(operator, agent, back):
    data = {"action": "disable", "_selected_action": [agent.pk], "back": back}
    answer = operator.browser.post(page(Agent, "changelist"), data)
    assert answer.headers["Location"] == ("/admin/" if back == "/admin/" else page(Agent, "changelist"))
