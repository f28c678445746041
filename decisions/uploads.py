"""Receiving files: multipart bodies up to MAX_UPLOAD_BYTES go to disk as they arrive, never into memory.

Names and types are refused before the content is read. Nothing outlives the `received` block but what was moved away.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, UnreadablePostError
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from rest_framework.exceptions import ParseError, UnsupportedMediaType

from decisions import store
from decisions.errors import FileRefused, UploadTooLarge
from spotopt.common.wire import clean_text

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .()+-]{0,127}")
_MULTIPART = "multipart/form-data"
_CHUNK = 64 * 2**10


@dataclass(frozen=True)
class StagedFile:
    """A received file that lies in a directory of its own. `name` is a base name of safe characters."""

    name: str
    path: Path
    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class Accepted:
    """What an address takes. `refuse_type(name)` raises FileRefused."""

    fields: frozenset[str]
    most_files: int
    directory: Callable[[], Path]
    refuse_type: Callable[[str], None]


@dataclass(frozen=True)
class Upload:
    files: list[StagedFile]
    fields: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str, *, max_length: int) -> str:
        return clean_text(self.fields.get(name), max_length=max_length)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that was sent; the boundary between the parts, another one each time, is not of it."""
        content = [[file.name, file.sha256] for file in self.files], sorted(self.fields.items())
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@contextmanager
def received(request: HttpRequest, accepted: Accepted) -> Iterator[Upload]:
    """Read the body. Raises UnsupportedMediaType, ParseError, FileRefused, UploadTooLarge or DiskFull."""
    handler = _Receiver(accepted)
    try:
        fields = _parse(request, handler)
        if not handler.staged:
            raise FileRefused("No file was sent: choose at least one")
        yield Upload(handler.staged, fields)
    finally:
        handler.clear()
        discard(request)


def discard(request: HttpRequest) -> None:
    """Take what is left of the body: browsers read no answer while they are still sending, and then see a reset."""
    left = 2 * settings.MAX_UPLOAD_BYTES
    try:
        while left > 0 and (data := request.read(_CHUNK)):
            left -= len(data)
    except UnreadablePostError:
        pass


def _parse(request: HttpRequest, handler: "_Receiver") -> Mapping[str, Any]:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length == "0":
        return {}
    if request.content_type != _MULTIPART:
        raise UnsupportedMediaType(request.content_type or "none")
    body = _Body(request)
    if length.isdecimal() and int(length) > settings.MAX_UPLOAD_BYTES:
        body.grow_too_large()
    try:
        fields, _ = _Parser(request.META, cast("Any", body), [handler]).parse()
    except MultiPartParserError as error:
        raise ParseError(f"The request body is no valid form: {error}") from None
    except UnreadablePostError:
        body.end_early()
    if length.isdecimal() and body.bytes_read < int(length):
        body.end_early()
    return {name: value for name, value in fields.items() if name not in handler.accepted.fields}


class _Body:
    """Counts, because what a caller says of the length need not be true."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.bytes_read = 0

    def read(self, size: int) -> bytes:
        data: bytes = self._request.read(size)
        self.bytes_read += len(data)
        if self.bytes_read > settings.MAX_UPLOAD_BYTES:
            self.grow_too_large()
        return data

    def grow_too_large(self) -> NoReturn:
        most = settings.MAX_UPLOAD_BYTES // 2**20
        raise UploadTooLarge(f"The upload is too large: at most {most} MiB together")

    def end_early(self) -> NoReturn:
        raise ParseError("The request body ended early")


class _Parser(MultiPartParser):
    def sanitize_file_name(self, file_name: str) -> str:
        """As it came: the receiver refuses what Django would silently leave out."""
        return file_name


class _Receiver(FileUploadHandler):
    """Writes each file to disk and hashes it on the way."""

    def __init__(self, accepted: Accepted) -> None:
        super().__init__()
        self.accepted = accepted
        self.staged: list[StagedFile] = []
        self._name, self._hash = "", hashlib.sha256()
        self._open: Any = None

    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        if field_name not in self.accepted.fields:
            raise FileRefused("Files are expected in the field `files`")
        if len(self.staged) >= self.accepted.most_files:
            raise FileRefused(f"Too many files: at most {self.accepted.most_files} at once")
        self._name = _base_name(file_name)
        self.accepted.refuse_type(self._name)
        if self._name.casefold() in {file.name.casefold() for file in self.staged}:
            raise FileRefused(f"Two files are called {self._name}")
        with store.room_needed():
            self._open = store.new_staged(self.accepted.directory())
        self._hash = hashlib.sha256()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._hash.update(raw_data)
        with store.room_needed():
            self._open.write(raw_data)

    def file_complete(self, file_size: int) -> None:
        path = Path(self._open.name)
        with store.room_needed():
            self._open.flush()
            os.fsync(self._open.fileno())
            self._open.close()
        staged = StagedFile(self._name, path, path.stat().st_size, self._hash.hexdigest())
        self._open = None
        if staged.size == 0:
            path.unlink()
            raise FileRefused(f"{staged.name} is empty")
        self.staged.append(staged)

    def clear(self) -> None:
        paths = [file.path for file in self.staged]
        if self._open is not None:
            paths.append(Path(self._open.name))
            self._open.close()
        for path in paths:
            path.unlink(missing_ok=True)


def _base_name(given: str) -> str:
    name = re.split(r"[/\\]", given)[-1]
    if not _SAFE_NAME.fullmatch(name):
        allowed = "letters, digits and _ . - + ( ) and spaces, not beginning with a dot, at most 128 characters"
        raise FileRefused(f"A file has a name this server does not take. Allowed: {allowed}")
    return name
