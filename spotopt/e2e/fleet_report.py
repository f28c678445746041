"""What `simulate_fleet` printed at its end."""

import re
from dataclasses import dataclass

NAMES = "agents|requests|errors|switches|interruptions|orders"


@dataclass(frozen=True)
class FleetReport:
    code: int
    facts: dict[str, str]
    errors: list[str]
    violations: list[str]

    @property
    def disagreements(self) -> list[str]:
        """Violations other than that there were errors."""
        return [text for text in self.violations if not text.endswith("errors in the server's answers")]

    @property
    def size(self) -> str:
        return f"{self.facts.get('requests', 'unknown')}, {self.facts.get('agents', '')}"

    @property
    def events(self) -> str:
        facts = self.facts
        return f"{facts.get('switches')} switches, {facts.get('interruptions')}, orders: {facts.get('orders')}"


def read_report(text: str, code: int) -> FleetReport:
    facts = re.findall(rf"^({NAMES}) {{2,}}(.+)$", text, re.MULTILINE)
    errors = re.findall(r"^ERROR (.+)$", text, re.MULTILINE)
    violations = re.findall(r"^VIOLATED (.+)$", text, re.MULTILINE)
    return FleetReport(code, dict(facts), errors, violations)
