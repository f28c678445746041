from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from notifications.models import PricingAlert
from notifications.services.alerts import CHANNELS
from spotopt.common.bodies import JsonBody
from spotopt.common.wire import clean_number

MOST = 100_000  # USD per hour or percent; more is a typing error


@extend_schema_field(
    {"anyOf": [{"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": MOST}, {"type": "string"}]}
)
class ThresholdField(serializers.Field):
    """A JSON number or numeric text → Decimal with 6 decimals."""

    default_error_messages = {"invalid": f"A number above 0, and {MOST} at most."}

    def to_internal_value(self, data: Any) -> Decimal:
        number = clean_number(data)
        if number is None or not 0 < number <= MOST:
            self.fail("invalid")
        return number

    def to_representation(self, value: Decimal) -> float:
        return float(value)


class PricingAlertIn(JsonBody):
    alert_type = serializers.ChoiceField(PricingAlert.Kind.choices, default=PricingAlert.Kind.PRICE_ABOVE)
    threshold = ThresholdField(
        required=False, allow_null=True, help_text="USD per hour; for savings_below, percent below on-demand."
    )
    threshold_price = ThresholdField(required=False, allow_null=True, help_text="Another name of threshold.")
    pool_id = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=128, help_text="Absent: each pool in use."
    )
    notification_channels = serializers.ListField(
        child=serializers.ChoiceField(CHANNELS), required=False, default=lambda: ["dashboard"], max_length=10
    )
    enabled = serializers.BooleanField(default=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The fields of the alert to create."""
        threshold = attrs.get("threshold") or attrs.get("threshold_price")
        if threshold is None:
            raise serializers.ValidationError({"threshold": ["This field is required."]})
        if attrs["alert_type"] == PricingAlert.Kind.SAVINGS_BELOW and threshold > 100:
            raise serializers.ValidationError({"threshold": ["Percent: 100 at most."]})
        return {
            "alert_type": attrs["alert_type"],
            "threshold": threshold,
            "pool_id": attrs.get("pool_id") or "",
            "channels": list(dict.fromkeys(attrs["notification_channels"])),
            "is_enabled": attrs["enabled"],
        }


class PricingAlertOut(serializers.ModelSerializer):
    alert_id = serializers.CharField(source="public_id")
    alert_type = serializers.ChoiceField(PricingAlert.Kind.choices)
    threshold = serializers.FloatField(help_text="USD per hour; for savings_below, percent below on-demand.")
    threshold_price = serializers.FloatField(source="threshold", help_text="As threshold.")
    enabled = serializers.BooleanField(source="is_enabled")
    notification_channels = serializers.ListField(source="channels", child=serializers.CharField())
    pool_id = serializers.SerializerMethodField()

    class Meta:
        model = PricingAlert
        fields = [
            "alert_id",
            "alert_type",
            "threshold",
            "threshold_price",
            "enabled",
            "notification_channels",
            "pool_id",
            "created_at",
            "last_triggered_at",
        ]

    @extend_schema_field({"type": "string", "nullable": True, "description": "Null: each pool in use."})
    def get_pool_id(self, alert: PricingAlert) -> str | None:
        return alert.pool_id or None
