"""mariadbd refuses to run as root, so whoever is root starts it as somebody else."""

import os
import pwd
import subprocess
from pathlib import Path

from spotopt.e2e.processes import SETPRIV


def as_database_user(command: list[str]) -> list[str]:
    if os.geteuid():
        return command
    entry = pwd.getpwnam(_name())
    # A change of user takes the kernel's promise to end it with this process away, so it is made anew.
    who = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    return [SETPRIV, *who, "--pdeathsig", "TERM", *command]


def give_to_database_user(directory: Path) -> None:
    """With all that is in it."""
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", _name(), str(directory)], check=True)  # noqa: S603, S607


def _name() -> str:
    """Debian's mysql user exists only where its server package was installed."""
    return "mysql" if any(entry.pw_name == "mysql" for entry in pwd.getpwall()) else "nobody"
