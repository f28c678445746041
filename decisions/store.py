"""Uploaded files on disk, under their SHA-256; which of them count is in the database.

    MODEL_DIR/<64 hex digits>             a file of one model session or of several
    DECISION_ENGINE_DIR/<64 hex digits>   a decision engine
    …/incoming/…                          uploads that are being received or checked

All machines share the directories. A file is written aside, forced to disk and renamed, so a name always has
its whole content; rows are written after it, so a row always has its file.
"""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO

from django.conf import settings

from decisions.errors import DiskFull
from decisions.models import ModelFile, UploadedEngine
from spotopt.common import clock

ABANDONED_AFTER = timedelta(days=1)  # no upload takes so long: its process died
_INCOMING, _LOCK = "incoming", ".lock"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def models() -> Path:
    return Path(settings.MODEL_DIR)


def path_of(sha256: str) -> Path:
    return models() / sha256


def engines() -> Path:
    return Path(settings.DECISION_ENGINE_DIR)


def engine_path_of(sha256: str) -> Path:
    return engines() / sha256


def has(sha256: str, size: int) -> bool:
    try:
        return path_of(sha256).stat().st_size == size
    except OSError:
        return False


@contextmanager
def room_needed() -> Iterator[None]:
    """A full disk is the caller's news, not a crash."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull from error
        raise


def new_staged(directory: Path) -> IO[bytes]:
    """A file of mode 0600 to receive an upload in; whoever opened it removes it, or `sweep` does later."""
    incoming = directory / _INCOMING
    incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.NamedTemporaryFile(dir=incoming, suffix=".part", delete=False)


def keep(staged: Path, place: Path) -> None:
    """Move it to its place. Call it, and write the row, while holding `unswept`."""
    os.replace(staged, place)  # what lies there already is the same
    directory = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def unswept() -> Iterator[None]:
    """Between a file's arrival and its row, `sweep` would take it for an orphan."""
    with _locked(fcntl.LOCK_SH):
        yield


def sweep(*, dry_run: bool = False) -> int:
    """Remove files no row names and uploads nobody finished, both older than a day; their number."""
    if not models().is_dir() and not engines().is_dir():
        return 0
    with _locked(fcntl.LOCK_EX):
        unwanted = [
            path
            for directory, rows in ((models(), ModelFile.objects), (engines(), UploadedEngine.objects))
            for path in _files_but(directory, set(rows.values_list("sha256", flat=True)))
        ]
        lost = [path for path in unwanted if _is_outdated(path)]
        for path in lost if not dry_run else []:
            path.unlink(missing_ok=True)
    return len(lost)


def _files_but(directory: Path, wanted: set[str]) -> list[Path]:
    """Those no row names, and uploads on their way."""
    named = directory.iterdir() if directory.is_dir() else ()
    return [*(path for path in named if path.name not in wanted), *(directory / _INCOMING).glob("*.part")]


def _is_outdated(path: Path) -> bool:
    try:
        age = clock.now().timestamp() - path.stat().st_mtime
    except FileNotFoundError:  # an upload has just ended
        return False
    return path.is_file() and path.name != _LOCK and age > ABANDONED_AFTER.total_seconds()


@contextmanager
def _locked(kind: int) -> Iterator[None]:
    models().mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(models() / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, kind)
        yield
    finally:
        os.close(lock)
