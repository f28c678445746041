"""What an import did, or would do: counts per table, and every reason with a few examples."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 20


@dataclass
class Reason:
    count: int = 0
    examples: list[str] = field(default_factory=list)  # ids of old rows, never values

    def add(self, example: str, count: int = 1) -> None:
        self.count += count
        if example and len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass
class Tally:
    """`read` = `moved` + `already` + all `skipped`. Notes tell what was changed on the way."""

    label: str
    read: int = 0
    moved: int = 0
    already: int = 0
    skipped: dict[str, Reason] = field(default_factory=dict)
    notes: dict[str, Reason] = field(default_factory=dict)
    differences: dict[str, Reason] = field(default_factory=dict)

    def skip(self, reason: str, example: str = "", count: int = 1) -> None:
        self.skipped.setdefault(reason, Reason()).add(example, count)

    def note(self, text: str, example: str = "", count: int = 1) -> None:
        self.notes.setdefault(text, Reason()).add(example, count)

    def differ(self, text: str, example: str = "") -> None:
        self.differences.setdefault(text, Reason()).add(example)

    @property
    def skipped_rows(self) -> int:
        return sum(reason.count for reason in self.skipped.values())

    def as_json(self) -> dict[str, Any]:
        counts: dict[str, Any] = {"read": self.read, "moved": self.moved, "already": self.already}
        for name in ("skipped", "notes", "differences"):
            reasons: dict[str, Reason] = getattr(self, name)
            counts[name] = {text: {"count": r.count, "examples": r.examples} for text, r in reasons.items()}
        return counts


@dataclass
class Report:
    tallies: list[Tally] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # tables and columns the old database lacks
    warnings: list[str] = field(default_factory=list)

    def tally(self, label: str) -> Tally:
        self.tallies.append(Tally(label))
        return self.tallies[-1]

    @property
    def moved(self) -> int:
        return sum(tally.moved for tally in self.tallies)

    @property
    def differences(self) -> int:
        return sum(reason.count for tally in self.tallies for reason in tally.differences.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "tables": {tally.label: tally.as_json() for tally in self.tallies},
            "missing": self.missing,
            "warnings": self.warnings,
            "moved": self.moved,
            "differences": self.differences,
        }

    def lines(self) -> Iterator[str]:
        yield f"{'':<24}{'read':>12}{'moved':>12}{'already':>12}{'skipped':>12}"
        for tally in self.tallies:
            counts = (tally.read, tally.moved, tally.already, tally.skipped_rows)
            yield f"{tally.label:<24}" + "".join(f"{number:>12,}" for number in counts)
        for title, name in (("Skipped", "skipped"), ("Changed", "notes"), ("DIFFERENT", "differences")):
            yield from _listed(title, [(t.label, getattr(t, name)) for t in self.tallies])
        if self.missing:
            yield f"\nThe old database lacks: {', '.join(self.missing)}"
        yield from (f"\nNote: {text}" for text in self.warnings)


def _listed(title: str, found: list[tuple[str, dict[str, Reason]]]) -> Iterator[str]:
    if any(reasons for _, reasons in found):
        yield f"\n{title}:"
    for label, reasons in found:
        for text, reason in sorted(reasons.items()):
            more = ", …" if reason.count > len(reason.examples[:3]) else ""
            ids = f" ({', '.join(e[:MAX_SHOWN] for e in reason.examples[:3])}{more})" if reason.examples else ""
            yield f"  {label}: {reason.count:,} × {text}{ids}"


MAX_SHOWN = 64
