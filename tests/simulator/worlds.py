"""A small simulated world without any server: made-up prices, and a transport that records and answers by itself."""

import json

from spotopt.simulator.clockfile import ServersOwnClock
from spotopt.simulator.dialects import DIALECTS
from spotopt.simulator.ec2 import Cloud
from spotopt.simulator.events import Scheduler
from spotopt.simulator.pace import Pace
from spotopt.simulator.prices import Pool, PriceBook, Series
from spotopt.simulator.transport import Transport
from spotopt.simulator.workload import Workload
from spotopt.simulator.world import Chances, World

START = 1_767_614_400.0  # 2026-01-05 12:00 UTC
HOUR = 3600.0
TOKEN = "token-of-the-tenant"  # noqa: S105
POOL_A = Pool("t3.medium", "us-east-1a", "us-east-1")
POOL_B = Pool("t3.medium", "us-east-1b", "us-east-1")
ONDEMAND = 0.0416
SURE = Chances(
    no_capacity=0,
    termination_refused=0,
    report_survives=1,
    goodbye_survives=1,
    hours_between_restarts=1e9,
    rebalance_signal=0,
)
CONFIG = {"enabled": True, "auto_switch_enabled": True, "auto_terminate_enabled": True}


class Response:
    def __init__(self, status_code, body):
        self.status_code = status_code
        self.text = json.dumps(body)

    def json(self):
        return json.loads(self.text)


class Recorder:
    """Stands where requests.Session stands: what is written to the wire ends up in `calls`."""

    def __init__(self, transport):
        self.transport = transport
        self.headers = {}

    def request(self, method, url, *, data, timeout, headers, allow_redirects):
        path = url.removeprefix(self.transport.base_url)
        self.transport.calls.append((method, path, None if data is None else json.loads(data)))
        return self.transport.answer(method, path)

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class RecordingTransport(Transport):
    """Answers like a server where nothing ever happens, except for `answers`: last part of the path → list of
    bodies, each given once."""

    def __init__(self, base_url="http://server", *, token=TOKEN, **_):
        super().__init__(base_url, token=token)
        self.calls = []
        self.answers = {}
        self.usual = {
            "register": {"agent_id": "agent-1", "config": CONFIG},
            "config": CONFIG,
            "pending-commands": [],
            "pending": {"commands": []},
            "replicas?status=launching": {"replicas": []},
            "replicas?status=terminated": {"replicas": []},
            "instances-to-terminate": {"instances": [], "auto_terminate_enabled": True},
            "decide": {"confidence": 0.5},
        }

    def session(self, *, token=None, source_ip=""):
        return Recorder(self)

    def answer(self, method, path):
        name = path.rpartition("/")[2]
        if self.answers.get(name):
            body = self.answers[name].pop(0)
            return body if isinstance(body, Response) else Response(200, body)
        return Response(200, self.usual.get(name, {"success": True}))

    def sent(self, name):
        """Bodies of the calls whose path ends so, in order."""
        return [body for _, path, body in self.calls if path.endswith(name)]


def price_book():
    series = {POOL_A: Series([START], [0.0132]), POOL_B: Series([START], [0.0128])}
    return PriceBook(series, {("us-east-1", "t3.medium"): ONDEMAND})


def make_world(*, prices=None, chances=SURE, stretch=1.0, hours=1000):
    prices = prices or price_book()
    return World(
        Scheduler(ServersOwnClock(), start=START),
        Cloud(prices),
        prices,
        RecordingTransport(),
        Pace(stretch),
        ends_at=START + hours * HOUR,
        seed=1,
        chances=chances,
    )


def add_workload(world, dialect="v4", *, key="web", pool=POOL_A, mode="spot"):
    """A workload whose first instance is launched; it serves as soon as it is up."""
    workload = Workload(world, key=key, dialect=DIALECTS[dialect], pool=pool, mode=mode)
    world.workloads[key] = workload
    instance = workload.launch(pool=pool, mode=mode, surely=True)
    world.scheduler.at(instance.running_at, lambda: workload.serve(instance), key=key)
    return workload


def run_for(world, seconds):
    world.scheduler.run(world.now + seconds)


def serving_workload(world, dialect="v4", **facts):
    """Its agent is registered and at work."""
    workload = add_workload(world, dialect, **facts)
    run_for(world, 120)
    assert workload.agent is not None
    return workload
