"""What every long run has in common: its end, however it comes, and its summary."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from spotopt.e2e.processes import adopt_orphans
from spotopt.e2e.scenario import Scenario
from spotopt.e2e.stack import Stack

NAME_WIDTH = 28


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def prepare_process() -> None:
    """Before anything is started: whatever ends us, and whatever our children leave behind, is ours to clean up."""
    stop_on_signals()
    adopt_orphans()


def stop_on_signals() -> None:
    """SIGTERM and SIGHUP end us as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)


def set_up_django(stack: Stack) -> None:
    os.environ.update(stack.environment | {"DJANGO_SETTINGS_MODULE": "spotopt.settings", "LOG_DIR": ""})
    import django

    django.setup()


def conduct(scenario: Scenario, *, directory: Path, keep: bool) -> int:
    """Run it, end everything, say what held. The exit code."""
    began = time.monotonic()
    try:
        scenario.run()
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    finally:
        if scenario.fleet:
            scenario.fleet.destroy()
        scenario.stack.destroy()
        put_away(directory, keep=keep)
    say("")
    for check in scenario.checks:
        say(f"{'ok   ' if check.holds else 'WRONG'}  {check.name:<{NAME_WIDTH}}{check.detail}")
    succeeded = all(check.holds for check in scenario.checks)
    say(f"\n{'OK' if succeeded else 'FAILED'} after {time.monotonic() - began:.0f} s")
    return 0 if succeeded else 1


def put_away(directory: Path, *, keep: bool) -> None:
    if keep:
        say(f"Kept: {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
