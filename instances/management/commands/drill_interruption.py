import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.models import Agent
from instances.models import InterruptionEpisode
from instances.selectors.timelines import as_rows, failover_figures
from instances.services.drills import start_drill
from instances.services.failover import sweep_agent
from spotopt.common.errors import DomainError

POLL_SECONDS = 1.0


class Command(BaseCommand):
    help = "Rehearse an interruption of one agent, or of all agents of a client, and score it with the timeline."

    def add_arguments(self, parser: ArgumentParser) -> None:
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("--agent", help="agent id or logical id")
        who.add_argument("--client", help="client id: every enabled agent of it, one after the other")
        parser.add_argument("--wait", type=float, default=180, help="seconds to wait for the promotion (default: 180)")
        parser.add_argument("--dry-run", action="store_true", help="say whom it would interrupt")

    def handle(self, *args: Any, **options: Any) -> None:
        agents = self._agents(options)
        if options["dry_run"]:
            for agent in agents:
                self.stdout.write(f"would interrupt {agent.instance_id}, primary of {agent.logical_agent_id}")
            return
        drills = [drill for agent in agents if (drill := self._rehearse(agent, options["wait"]))]
        figures = failover_figures(drills)
        self.stdout.write(f"{figures['promoted']} of {len(drills)} promoted, {figures['before_deadline']} in time")
        if not drills or figures["promoted"] < len(drills):
            raise CommandError("not every drill ended on a standby")

    def _agents(self, options: dict[str, Any]) -> list[Agent]:
        living = Agent.objects.living().select_related("client")
        if options["client"]:
            found = list(living.filter(client__public_id=options["client"], enabled=True).exclude(instance_id=""))
        else:
            name = options["agent"]
            found = list(living.filter(public_id=name) or living.filter(logical_agent_id=name))
        if not found:
            raise CommandError("no such agent")
        if options["agent"] and len(found) > 1:
            raise CommandError("several agents have this logical id; use the agent id")
        return found

    def _rehearse(self, agent: Agent, wait: float) -> InterruptionEpisode | None:
        try:
            episode = start_drill(agent=agent).episode
        except DomainError as refusal:
            self.stderr.write(f"{agent.logical_agent_id}: {refusal.message}")
            return None
        deadline = time.monotonic() + wait
        while episode.status in InterruptionEpisode.OPEN and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            sweep_agent(agent_pk=agent.pk)
            episode = InterruptionEpisode.objects.select_related("agent", "replica").get(pk=episode.pk)
        (row,) = as_rows([episode])
        self.stdout.write(f"{agent.logical_agent_id}: {episode.get_status_display()}")
        for step in row["timeline"]:
            at = "-" if step["seconds"] is None else f"+{step['seconds']:.1f} s"
            self.stdout.write(f"  {step['step']:<18} {at}")
        return episode
