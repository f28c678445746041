"""Where gunicorn's processes keep their counters, so that each can answer /metrics for all of them.

`prometheus_client` writes a file per process into PROMETHEUS_MULTIPROC_DIR. Gunicorn's master makes that directory
in memory (/dev/shm) for the time it runs, and adds up what ended workers counted: counters must not go back, and
memory must not fill up with the files of workers that are no more. Nothing here may need Django.
"""

import fcntl
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108 (mkdtemp makes an unguessable directory there)
PREFIX = "spotopt-metrics-"
OWNER, LOCK = "owner", "lock"
TYPES = ("counter", "histogram")
ENDED = 0  # the "process" that stands for all that ended

_owners: list[int] = []  # open files whose locks say that a directory is in use, for as long as this process lives


def open_directory(parent: Path | None = None) -> Path:
    """Make the directory and tell the library, before it is imported. Removes what a killed master left."""
    parent = parent or (MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir()))
    for abandoned in parent.glob(f"{PREFIX}*"):
        if _is_abandoned(abandoned):
            shutil.rmtree(abandoned, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    _owners.append(_claim(directory))
    os.environ[VARIABLE] = str(directory)
    return directory


def close_directory() -> None:
    if directory := os.environ.pop(VARIABLE, ""):
        shutil.rmtree(directory, ignore_errors=True)


def retire(pid: int) -> None:
    """A worker ended: its counts go into the file of all that did. What it left half written is given up."""
    directory = Path(os.environ[VARIABLE])
    with locked(directory, fcntl.LOCK_EX):
        for kind in TYPES:
            own = directory / f"{kind}_{pid}.db"
            if own.exists():
                try:
                    _add(own, to=directory / f"{kind}_{ENDED}.db")
                finally:
                    own.unlink()


@contextmanager
def locked(directory: Path, how: int) -> Iterator[None]:
    """Between a scrape (shared) and a retirement (exclusive), or its counts would be seen twice, or not at all."""
    file = os.open(directory / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        os.close(file)


def _add(file: Path, *, to: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict  # the variable above has to be set first

    sums: dict[str, float] = defaultdict(float)
    for one in (to, file):
        if one.exists():
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(one)):
                sums[key] += value
    merged = to.with_suffix(".new")  # the library reads *.db
    merged.unlink(missing_ok=True)
    written = MmapedDict(str(merged))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()
    merged.replace(to)


def _claim(directory: Path) -> int:
    """Locked before it has its name, or another master that starts now would take it for abandoned."""
    owner = os.open(directory / "new", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(owner, fcntl.LOCK_EX)
    (directory / "new").rename(directory / OWNER)
    return owner


def _is_abandoned(directory: Path) -> bool:
    """Nobody holds its lock: process ids would mean nothing across containers that share memory."""
    try:
        owner = os.open(directory / OWNER, os.O_RDWR)
    except OSError:
        return False  # another user's, or one that is just being made
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(owner)
    return True
