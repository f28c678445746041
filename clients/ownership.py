"""What belongs to a client: everything that hangs on it by a cascading key, in whatever app."""

from collections.abc import Iterator
from typing import Any

from django.db import models

from clients.models import Client


def rows_of(client: Client) -> Iterator[models.QuerySet[Any]]:
    """One queryset per model, at any depth, children before parents; the client itself is not among them."""
    seen: set[type[models.Model]] = {Client}

    def descend(model: type[models.Model], path: str) -> Iterator[models.QuerySet[Any]]:
        for relation in model._meta.get_fields(include_hidden=True):  # hidden: keys with related_name="+"
            if not isinstance(relation, models.ManyToOneRel) or relation.on_delete is not models.CASCADE:
                continue
            child = relation.related_model
            if child in seen:
                continue
            seen.add(child)
            lookup = f"{relation.field.name}__{path}" if path else relation.field.name
            yield from descend(child, lookup)
            yield child._default_manager.filter(**{lookup: client})

    yield from descend(Client, "")
