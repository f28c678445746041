from typing import Any

from rest_framework import serializers

_TYPES: list[tuple[type[serializers.Field], tuple[type, ...]]] = [  # first match wins
    (serializers.BooleanField, (bool,)),
    (serializers.IntegerField, (int, float)),
    (serializers.FloatField, (int, float)),
    (serializers.DecimalField, (int, float)),
    (serializers.CharField, (str,)),
]


class JsonBody(serializers.Serializer):
    """What people and scripts send, in the JSON types of the description: DRF alone takes 5 for "5" and "no" for false.

    (What agents send is another matter: spotopt.common.wire.)
    """

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            given = {name: field for name, field in self.fields.items() if data.get(name) is not None}
            wrong = {name: [_refusal(field)] for name, field in given.items() if not _fits(field, data[name])}
            if wrong:
                raise serializers.ValidationError(wrong)
        return super().to_internal_value(data)


def _fits(field: serializers.Field, value: Any) -> bool:
    if isinstance(field, serializers.ListField):
        return not isinstance(value, list) or all(_fits(field.child, item) for item in value)
    wanted = next((types for kind, types in _TYPES if isinstance(field, kind)), None)
    return wanted is None or (isinstance(value, wanted) and (wanted == (bool,) or not isinstance(value, bool)))


def _refusal(field: serializers.Field) -> str:
    innermost = field.child if isinstance(field, serializers.ListField) else field
    return str(innermost.error_messages["invalid"])
