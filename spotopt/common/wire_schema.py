"""OpenAPI of bodies that are normalised, not validated (spotopt.common.wire): what they take is nearly anything.

So a field's schema has no type and its description says what is understood; only what a service cannot do without,
the serializer's `needed`, is required and typed.
"""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction
from rest_framework import serializers

from spotopt.common import wire

_MEANINGS: dict[type[serializers.Field], tuple[str, Any]] = {
    wire.Identifier: ("An id: text or a whole number", "i-0123456789abcdef0"),
    wire.Text: ("Text", "us-east-1a"),
    wire.IPAddress: ("An IPv4 or IPv6 address", "10.0.0.5"),
    wire.WireMode: ("`spot` or `ondemand`, in any spelling", "spot"),
    wire.WireTime: ("A time: ISO 8601, UTC unless it says otherwise, or seconds since 1970", "2025-01-20T10:45:00Z"),
    wire.WirePrice: ("USD per hour", 0.0125),
    wire.WireNumber: ("A number", 0.5),
    wire.WireInteger: ("A whole number", 1),
    wire.WireBool: ("A boolean", True),
    wire.WireList: ("An array", []),
    wire.WireObject: ("An object", {}),
}


class WireSerializerSchema(OpenApiSerializerExtension):
    target_class = wire.WireSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        target: wire.WireSerializer = self.target() if isinstance(self.target, type) else self.target
        properties = {
            name: _needed(field, target.needed[name]) if name in target.needed else _optional(field, auto_schema)
            for name, field in target.fields.items()
        }
        for name, aliases in target.aliases.items():
            listed = " or ".join(f"`{alias}`" for alias in aliases)
            about = properties[name].get("description", "")
            properties[name] = properties[name] | {"description": f"{about} Also called {listed}.".strip()}
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        schema["description"] = "What is missing, null or makes no sense counts as not known."
        return schema | ({"required": sorted(target.needed)} if target.needed else {})


def _optional(field: serializers.Field, auto_schema: AutoSchema) -> dict[str, Any]:
    if isinstance(field, wire.WireSerializer):
        inner = WireSerializerSchema(field).map_serializer(auto_schema, "request")
        described = ", ".join(f"`{name}`" for name in inner["properties"])
        return {"description": f"An object with {described}."}
    meaning, example = next(found for kind, found in _MEANINGS.items() if isinstance(field, kind))
    most = getattr(field, "max_length", None)
    return {"description": f"{meaning}{f', at most {most} characters' if most else ''}.", "example": example}


def _needed(field: serializers.Field, words: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(field, wire.WireSerializer):
        properties = {name: _needed(field.fields[name], allowed) for name, allowed in field.needed.items()}
        return {"type": "object", "properties": properties, "required": sorted(field.needed)}
    if words:
        return {"type": "string", "enum": list(words)}
    return {"oneOf": [{"type": "string", "minLength": 1, "pattern": r"[^\s\0]"}, {"type": "integer"}]}
