"""All data of one client as a zip of JSON lines: what a tenant may take along when it leaves."""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from clients.models import Client
from clients.ownership import rows_of
from spotopt.common import clock

BATCH = 2000
SECRETS = ("_hash", "_encrypted", "url")  # endings of columns with a token or key; webhook addresses often hold one
Progress = Callable[[str, int], None]  # (file, rows so far)


def export_client(*, client: Client, target: Path, progress: Progress) -> dict[str, int]:
    """Write `target`, which must not be there yet; rows per file. It appears once it is complete, for its owner only.

    Rows are read batch by batch while others write, so this is no snapshot of one moment.
    """
    part = target.with_name(f"{target.name}.part")
    part.touch(mode=0o600)
    counts: dict[str, int] = {}
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for rows in [Client.objects.filter(pk=client.pk), *rows_of(client)]:
                name = rows.model._meta.db_table
                counts[name] = _write(archive, f"{name}.jsonl", rows, progress)
            archive.writestr("manifest.json", json.dumps(_manifest(client, counts), indent=2))
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    return counts


def _write(archive: zipfile.ZipFile, name: str, rows: models.QuerySet[Any], progress: Progress) -> int:
    count = 0
    with archive.open(name, "w", force_zip64=True) as file:
        for row in _read(rows):
            file.write(json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False).encode() + b"\n")
            count += 1
            if count % BATCH == 0:
                progress(name, count)
    return count


def _read(rows: models.QuerySet[Any]) -> Iterator[dict[str, Any]]:
    """By primary key: MySQL's driver would fetch a whole table at once."""
    key = rows.model._meta.pk.attname
    columns = [field.attname for field in rows.model._meta.concrete_fields if _is_public(field)]
    last: Any = None
    while batch := list((rows if last is None else rows.filter(pk__gt=last)).order_by("pk").values(*columns)[:BATCH]):
        yield from batch
        last = batch[-1][key]


def _is_public(field: "models.Field[Any, Any]") -> bool:
    return not (field.name.endswith(SECRETS) or isinstance(field, models.GeneratedField))


def _manifest(client: Client, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "client_id": client.public_id,
        "name": client.name,
        "exported_at": clock.isoformat(clock.now()),
        "server_version": settings.VERSION,
        "rows": counts,
        "left_out": "tokens, signing secrets, their hashes, and addresses of webhooks",
    }
