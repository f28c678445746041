"""Does a call cost more in a larger fleet, or with a longer history?

Each size gets a new database, filled by `load_history`, and a server of its own. Agents are not answered from memory
here, for that never asks the tables. 16 connections, each sending its next call when it has an answer.
"""

import asyncio
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import requests
from django.core.management.base import BaseCommand, CommandError

from spotopt.benchmarks.driver import Driver
from spotopt.benchmarks.growth import Point, draw
from spotopt.benchmarks.measure import closed_loop, percentiles, register, this_machine
from spotopt.benchmarks.traffic import BenchAgent, Call, request
from spotopt.simulator.server import Server, ServerFailed, temporary_directory

AGENTS = (100, 1_000, 10_000)
HISTORY = (10_000, 100_000, 1_000_000, 2_000_000)
CALLERS = 50
AGENT_CALLS = ("heartbeat", "pending-commands", "instances-to-terminate", "pricing-report")
PEOPLES_CALLS = {
    "client's charts": "/api/client/{client_id}/stats/charts",
    "switch history": "/api/client/{client_id}/switch-history",
    "activity": "/api/admin/activity",
    "price history": "/api/client/pricing-history?client_id={client_id}&instance_type=m5.large&region=us-east-1",
}


class Command(BaseCommand):
    help = "Measure what calls cost at 100 to 10,000 agents and 10,000 to 2 million rows of history, and draw it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--agents", type=int, nargs="+", default=AGENTS)
        parser.add_argument("--history", type=int, nargs="+", default=HISTORY, help="rows, half prices, half events")
        parser.add_argument("--picture", type=Path, default=Path("growth.svg"), help=".svg or .png")

    def handle(self, *args: Any, **options: Any) -> None:
        smallest, middle = min(options["history"]), sorted(options["agents"])[len(options["agents"]) // 2]
        try:
            by_agents = [self._point(agents, smallest) for agents in options["agents"]]
            by_history = [self._point(middle, history) for history in options["history"] if history != smallest]
        except ServerFailed as failure:
            raise CommandError(str(failure)) from failure
        by_history += [point for point in by_agents if point.agents == middle]
        by_history.sort(key=lambda point: point.history)
        draw(options["picture"], by_agents=by_agents, by_history=by_history)
        self._say(f"\nPicture: {options['picture']}")

    def _point(self, agents: int, history: int) -> Point:
        directory = temporary_directory()
        server = Server(directory=directory, threads=8)
        self._say(f"\n{agents:,} agents, {history:,} rows of history; {this_machine(server)}")
        server.environment |= {"AGENT_MEMORY": "false", "READS_PER_MINUTE": "0"}
        try:
            runner = server.prepare()
            sizes = {"agents": agents, "price-points": history // 2, "events": history // 2, "switches": history // 20}
            options = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
            runner.run("load_history", *options, "--ledger-hours", "24")
            runner.close()
            server.start()
            return Point(agents, history, asyncio.run(self._measure(server)))
        finally:
            server.stop()
            shutil.rmtree(directory, ignore_errors=True)

    async def _measure(self, server: Server) -> dict[str, Any]:
        rates = {}
        for name, calls in (await self._calls(server)).items():
            rates[name] = rate = await closed_loop(server.url, calls)
            p99 = percentiles([rate.p99 or 0], digits=0)[:8]
            self._say(f"  {name:<24}{rate.per_second:>8.0f}/s   p99{p99} ms")
        return rates

    async def _calls(self, server: Server) -> dict[str, list[Call]]:
        _, token = server.create_client("Callers")
        host = server.url.removeprefix("http://")
        fleet = [BenchAgent(number, dialect="v4", host=host, token=token) for number in range(CALLERS)]
        async with Driver(server.url, connections=4) as driver:
            await register(driver, fleet)
        calls = {name: [c for agent in fleet for c in agent.calls() if c.name == name] for name in AGENT_CALLS}
        largest = largest_client(server)
        for name, path in PEOPLES_CALLS.items():
            data = request("GET", path.format(client_id=largest), host=host, token=server.admin_token)
            calls[name] = [Call(name, 1, data)] * 20
        return calls

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def largest_client(server: Server) -> str:
    """`load_history` gives half of the fleet to its first."""
    headers = {"Authorization": f"Bearer {server.admin_token}"}
    clients = requests.get(f"{server.url}/api/admin/clients", headers=headers, timeout=60).json()
    return str(next(client["id"] for client in clients if client["name"] == "History 0"))
