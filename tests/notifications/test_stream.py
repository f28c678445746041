"""What open event streams show, to whom, and from where they resume (dashboard-api 2.9)."""

import pytest
import time_machine

from clients.services import delete_client, regenerate_token, set_active
from notifications.errors import StreamsEnding, TooManyStreams
from notifications.models import StreamProcess, SystemEvent
from notifications.services import emit, notify
from notifications.stream import feed, frames, subscription
from notifications.stream.hub import Hub
from notifications.stream.presence import Presence, open_streams
from notifications.stream.subscription import Audience, Subscription
from tests.dialects import V4, V5
from tests.factories import AgentFactory, ClientFactory
from tests.notifications.streams import hang_up, listen, parse

pytestmark = pytest.mark.django_db


@pytest.fixture
def hub(db):
    """With an event in the log: ids of earlier tests were used up, which looks like a hole before the first one."""
    emit(event_type="validation_error", message="the first one")
    return Hub()


@pytest.fixture
def monotonic(monkeypatch):
    """`monotonic.now += seconds` lets time pass for the streams."""

    class Time:
        now = 1000.0

    for module in (feed, subscription):
        monkeypatch.setattr(module.time, "monotonic", lambda: Time.now)
    return Time


def tell(client, message="Hello"):
    notify(client=client, message=message, notification_type="test")


class TestFrames:
    @time_machine.travel("2026-01-05 10:00:00Z", tick=False)
    def test_a_stream_says_hello_under_both_names_and_how_soon_to_come_back(self, hub):
        client = ClientFactory()
        text = listen(hub, client, greet=False).subscription.take()
        assert text.startswith(b"retry: 3000\n\n")
        hello = {"status": "connected", "client_id": client.public_id, "timestamp": "2026-01-05T10:00:00Z"}
        assert [(frame.name, frame.data) for frame in parse(text)] == [("CONNECTED", hello), ("connected", hello)]

    @time_machine.travel("2026-01-05 10:00:00Z", tick=False)
    def test_a_message_is_sent_as_the_inbox_shows_it(self, hub, tenant, tenant_api):
        listener = listen(hub, tenant)
        tell(tenant, "Two\nlines")
        (frame,) = listener.received()
        assert (frame.name, frame.id) == ("NOTIFICATION", str(SystemEvent.objects.get(event_type="notification").pk))
        assert frame.data == {
            "data": tenant_api.get("/api/notifications").json()[0],
            "timestamp": "2026-01-05T10:00:00Z",
        }

    def test_a_stream_of_the_whole_fleet_says_whose_it_is(self, hub, tenant):
        wide, narrow = listen(hub), listen(hub, tenant)
        emit(event_type="instance_terminated", client=tenant, instance_id="i-0a", message="x")
        ended = {"instance_id": "i-0a", "status": "terminated", "termination_duration_seconds": None}
        assert [frame.data["data"] for frame in wide.received()] == [ended | {"client_id": tenant.public_id}]
        assert [frame.data["data"] for frame in narrow.received()] == [ended]

    def test_facts_without_a_name_on_the_stream_are_not_sent(self, hub, tenant):
        listener = listen(hub, tenant)
        emit(event_type="cleanup_completed", client=tenant, message="x")
        assert listener.received() == []

    def test_signs_of_life_come_every_15_and_30_seconds(self, hub, monotonic):
        listener = listen(hub)
        assert listener.subscription.take() is None
        assert listener.subscription.seconds_until_due() == 15
        monotonic.now += 15
        assert listener.subscription.take() == b": keep-alive\n\n"
        monotonic.now += 15
        text = listener.subscription.take()
        assert text.startswith(b": keep-alive\n\n")
        assert [frame.name for frame in parse(text)] == ["HEARTBEAT", "heartbeat"]

    def test_a_sign_of_life_repeats_the_id_that_was_sent_last(self, hub, tenant, monotonic):
        listener = listen(hub, tenant)
        tell(tenant)
        (message,) = listener.received()
        tell(ClientFactory(), "foreign")
        hub.run_round()
        monotonic.now += 15
        listener.subscription.take()
        monotonic.now += 15
        assert {frame.id for frame in parse(listener.subscription.take())} == {message.id}

    def test_a_stream_that_holds_a_thread_ends_with_a_word_on_when_to_return(self, monotonic):
        short = Subscription(audience=Audience(), last_event_id=None, lifetime_seconds=55, retry_seconds=1)
        short.take()
        monotonic.now += 55
        assert short.take().endswith(b"retry: 1000\n\n")
        assert short.is_ended


class TestNames:
    """What happens to agents and instances, told by what agents really send."""

    def names(self, listener):
        return {frame.name: frame.data["data"] for frame in listener.received()}

    def test_an_agent_that_stops(self, hub, tenant, client_token):
        agent = V4(client_token, instance_id="i-0aaa")
        agent.register()
        agent.heartbeat()
        listener = listen(hub, tenant)
        agent.heartbeat(status="offline")
        change = self.names(listener)["AGENT_STATUS_CHANGED"]
        assert change == {"agent_id": agent.agent_id, "old_status": "online", "new_status": "offline"}

    def test_a_new_instance_becomes_the_primary(self, hub, tenant, client_token):
        listener = listen(hub, tenant)
        V4(client_token, instance_id="i-0aaa").register()
        assert self.names(listener)["INSTANCE_STATE_CHANGED"] == {
            "instance_id": "i-0aaa",
            "old_status": "launching",
            "new_status": "running_primary",
        }

    def test_a_launch_from_order_to_confirmation(self, hub, tenant, client_token, admin_api):
        agent = V5(client_token, instance_id="i-0aaa")
        agent.register()
        agent.heartbeat()
        agent.orders()
        listener = listen(hub, tenant)
        body = {"agent_id": agent.agent_id, "target_mode": "ondemand", "role_hint": "replica"}
        answer = admin_api.post("/api/client/instances/launch", body).json()
        launching = self.names(listener)["INSTANCE_LAUNCHING"]
        assert launching["instance_id"] == answer["instance_id"]
        assert launching["command_id"] == answer["command_id"]
        assert (launching["status"], launching["target_mode"], launching["role_hint"]) == (
            "launching",
            "ondemand",
            "replica",
        )
        assert launching["instance_type"]
        assert launching["az"]

    def test_every_name_of_the_contract_has_a_source(self):
        assert {name for name, _ in frames.STREAMED.values()} - {"RECOMMENDATION"} == {
            "INSTANCE_LAUNCHING",
            "INSTANCE_RUNNING",
            "INSTANCE_TERMINATING",
            "INSTANCE_TERMINATED",
            "INSTANCE_STATE_CHANGED",
            "AGENT_STATUS_CHANGED",
            "EMERGENCY_EVENT",
            "COMMAND_EXECUTED",
            "NOTIFICATION",
        }

    def test_facts_of_an_older_release_have_nulls_for_what_they_do_not_tell(self, hub, tenant):
        listener = listen(hub, tenant)
        for event_type in set(frames.STREAMED) - {"notification"}:
            emit(event_type=event_type, client=tenant, message="x")
        assert len(listener.received()) == len(frames.STREAMED) - 1

    def test_a_row_that_makes_no_sense_does_not_cost_the_others(self, hub, tenant):
        listener = listen(hub, tenant)
        emit(event_type="notification", client=tenant, message="no message in it")
        tell(tenant, "good")
        assert listener.messages() == ["good"]


class TestTenants:
    def test_a_client_gets_its_own_and_messages_to_everyone(self, hub, tenant):
        listener = listen(hub, tenant)
        tell(tenant, "own")
        tell(ClientFactory(), "foreign")
        tell(None, "to all")
        emit(event_type="agent_status_changed", message="nobody's")
        assert [frame.data["data"].get("message") for frame in listener.received()] == ["own", "to all"]

    def test_the_operator_gets_all_or_one_clients(self, hub, tenant):
        wide, narrow = listen(hub), listen(hub, tenant, by_token=False)
        tell(tenant, "own")
        tell(ClientFactory(), "foreign")
        assert wide.messages() == ["own", "foreign"]
        assert narrow.messages() == ["own"]

    def test_two_streams_of_one_client_both_get_everything(self, hub, tenant):
        first, second = listen(hub, tenant), listen(hub, tenant)
        tell(tenant)
        assert first.messages() == second.messages() == ["Hello"]
        hub.leave(first.subscription)
        tell(tenant, "Again")
        assert second.messages() == ["Again"]

    @pytest.mark.parametrize(
        "shut_out",
        [
            lambda client: set_active(client=client, is_active=False),
            lambda client: delete_client(client=client),
            lambda client: regenerate_token(client=client),
        ],
        ids=["deactivated", "deleted", "new token"],
    )
    def test_who_is_shut_out_hears_nothing_more(self, hub, tenant, shut_out):
        listener, other = listen(hub, tenant), listen(hub, ClientFactory())
        shut_out(tenant)
        hub.run_round()
        assert (listener.is_ended, other.is_ended) == (True, False)

    def test_the_operators_stream_of_a_client_ends_with_the_client_only(self, hub, tenant):
        listener = listen(hub, tenant, by_token=False)
        set_active(client=tenant, is_active=False)
        hub.run_round()
        assert not listener.is_ended
        delete_client(client=tenant)
        hub.run_round()
        assert listener.is_ended


class TestResuming:
    def test_nothing_old_is_sent_to_a_newcomer(self, hub, tenant):
        tell(tenant, "old")
        listener = listen(hub, tenant, greet=False)
        assert listener.messages() == []
        tell(tenant, "new")
        assert listener.messages() == ["new"]

    @pytest.mark.parametrize("last", [None, 10**15])
    def test_a_strange_id_counts_as_none(self, hub, tenant, last):
        tell(tenant, "old")
        assert listen(hub, tenant, last=last, greet=False).messages() == []

    def test_what_was_missed_is_sent_once_and_in_order(self, hub, tenant):
        listener = listen(hub, tenant)
        tell(tenant, "1")
        last = int(listener.received()[-1].id)
        for text in ("2", "3"):
            tell(tenant, text)
            tell(ClientFactory(), "foreign")
        hub.run_round()
        here, elsewhere = (listen(any_hub, tenant, last=last, greet=False) for any_hub in (hub, Hub()))
        assert here.messages() == elsewhere.messages() == ["2", "3"]
        tell(tenant, "4")
        assert here.messages() == elsewhere.messages() == ["4"]

    def test_the_last_hundred_are_the_most(self, hub, tenant):
        start = listen(hub, tenant)
        tell(tenant, "0")
        last = int(start.received()[-1].id)
        for number in range(1, 121):
            tell(tenant, str(number))
        hub.run_round()
        assert listen(hub, tenant, last=last, greet=False).messages() == [str(n) for n in range(21, 121)]

    def test_hello_alone_is_enough_to_resume_from(self, hub, tenant):
        tell(tenant, "old")
        (_, hello) = listen(hub, tenant, greet=False).everything()
        tell(tenant, "missed")
        assert listen(Hub(), tenant, last=int(hello.id), greet=False).messages() == ["missed"]

    def test_a_slow_reader_loses_the_oldest(self, hub, tenant):
        listener = listen(hub, tenant)
        for number in range(105):
            tell(tenant, str(number))
        assert listener.messages() == [str(n) for n in range(5, 105)]

    def test_replaying_costs_two_statements(self, hub, tenant, django_assert_num_queries):
        listener = listen(hub, tenant)
        for number in range(50):
            tell(tenant, str(number))
        last = int(listener.received()[0].id)
        with django_assert_num_queries(3):  # the round's own, the client's, those to everyone
            listen(hub, tenant, last=last)


class TestHoles:
    """Ids whose rows are not there (yet). The part that needs two transactions is in test_feed_races."""

    def test_what_follows_a_hole_waits_until_nothing_can_fill_it(self, hub, tenant, monotonic):
        listener = listen(hub, tenant)
        tell(tenant, "1")
        assert listener.messages() == ["1"]
        tell(tenant, "never committed")
        SystemEvent.objects.order_by("-pk").first().delete()
        SystemEvent.objects.create(
            pk=SystemEvent.objects.order_by("-pk").first().pk + 2,
            event_type="instance_terminated",
            client=tenant,
            message="after the hole",
        )
        assert listener.received() == []
        monotonic.now += feed.TAIL
        assert [frame.name for frame in listener.received()] == ["INSTANCE_TERMINATED"]

    def test_old_holes_hold_nothing_up_when_a_process_starts(self, tenant):
        with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
            SystemEvent.objects.create(pk=10, event_type="agent_deleted", client=tenant, message="x")
            SystemEvent.objects.create(pk=20, event_type="agent_deleted", client=tenant, message="x")
            traveller.shift(feed.LONGEST_WAIT + 1)
            (_, hello) = listen(Hub(), tenant, greet=False).everything()
        assert hello.id == "20"

    def test_a_row_that_fills_the_hole_comes_first(self, hub, tenant, monotonic):
        listener = listen(hub, tenant)
        tell(tenant, "1")
        listener.received()
        top = SystemEvent.objects.order_by("-pk").first().pk
        fact = {"event_type": "agent_deleted", "client": tenant, "message": "x"}
        SystemEvent.objects.create(pk=top + 2, agent_id="second", **fact)
        assert listener.received() == []
        SystemEvent.objects.create(pk=top + 1, agent_id="first", **fact)
        received = listener.received()
        assert [frame.data["data"]["agent_id"] for frame in received] == ["first", "second"]
        assert [int(frame.id) for frame in received] == [top + 1, top + 2]
        assert listener.received() == []


class TestPlaces:
    def admit(self, hub, client=None, limit=4):
        audience = Audience(client.pk, client.public_id, client.token_hash) if client else Audience()
        one = Subscription(audience=audience, last_event_id=None, lifetime_seconds=55, retry_seconds=1)
        hub.admit(one, limit=limit)
        return one

    def test_a_process_takes_so_many_streams_and_no_more(self, hub):
        first = [self.admit(hub) for _ in range(4)][0]
        with pytest.raises(TooManyStreams):
            self.admit(hub)
        hub.leave(first)
        self.admit(hub)

    def test_one_client_cannot_take_all_places(self, hub, tenant):
        for _ in range(2):
            self.admit(hub, tenant)
        with pytest.raises(TooManyStreams):
            self.admit(hub, tenant)
        self.admit(hub, ClientFactory())

    def test_a_server_that_ends_ends_its_streams_and_takes_no_new_ones(self, hub):
        listener = listen(hub)
        hub.end_all()
        assert listener.is_ended
        with pytest.raises(StreamsEnding):
            self.admit(hub)

    def test_the_limit_is_answered_with_429_and_when_to_try_again(self, tenant_api, settings):
        settings.EVENT_STREAM_THREADS = 1
        open_one = tenant_api.get("/api/events/stream")
        refused = tenant_api.get("/api/events/stream", headers={"Accept": "text/event-stream"})
        assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (429, "RATE_LIMITED", "60")
        hang_up(open_one)
        again = tenant_api.get("/api/events/stream")
        assert again.status_code == 200
        hang_up(again)

    def test_a_response_nobody_reads_gives_its_place_back(self, tenant_api, settings):
        settings.EVENT_STREAM_THREADS = 1
        for _ in range(3):
            response = tenant_api.get("/api/events/stream")
            assert response.status_code == 200
            hang_up(response)


class TestStats:
    def test_streams_of_all_processes_are_added_up(self, admin_api):
        one, two = ClientFactory(), ClientFactory()
        Presence().tell([Audience(one.pk, one.public_id, "x"), Audience(one.pk, one.public_id, "x"), Audience()])
        Presence().tell([Audience(two.pk, two.public_id, "x")])
        assert admin_api.get("/api/events/stats").json() == {
            "active_connections": 4,
            "client_ids": sorted([one.public_id, two.public_id]),
        }

    def test_a_process_that_ended_does_not_count(self):
        here = Presence()
        here.tell([Audience()])
        here.withdraw()
        assert open_streams() == {"active_connections": 0, "client_ids": []}

    def test_a_process_that_was_killed_is_forgotten_after_a_minute(self):
        with time_machine.travel("2026-01-05 10:00:00Z", tick=False) as traveller:
            Presence().tell([Audience()])
            traveller.shift(61)
            assert open_streams()["active_connections"] == 0

    def test_nothing_is_written_while_nothing_changes(self, django_assert_num_queries):
        here = Presence()
        here.tell([Audience()])
        with django_assert_num_queries(0):
            here.tell([Audience()])
        assert StreamProcess.objects.count() == 1

    def test_clients_may_not_look(self, tenant_api):
        assert tenant_api.get("/api/events/stats").status_code == 403


def test_an_idle_round_costs_one_statement(hub, tenant, django_assert_num_queries):
    for client in [tenant, *ClientFactory.create_batch(20)]:
        listen(hub, client)
    AgentFactory()
    hub.run_round()
    with django_assert_num_queries(1):
        hub.run_round()
