"""How views become OpenAPI: what every operation has in common is added here, so that views need not repeat it.

An operation gets its tag from its path, its security from authentication and permission classes (`clients.schema`),
and the error answers of dashboard-api 1.6 that its permissions and throttles make possible.
"""

import re
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_parameter_type, get_doc, is_list_serializer
from drf_spectacular.utils import Direction
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from spotopt.common import wire_schema  # noqa: F401 (registers its extension)
from spotopt.common.errors import envelope

# First match wins.
_TAGS = [
    (r"/api/.*/export/", "Exports"),
    (r"/api/events", "Events"),
    (r"/api/notifications", "Notifications"),
    (r"/api/admin/(ml-models|decision-engine)", "Models"),
    (r"/api/admin/clients/(create|\{)", "Accounts"),
    (r"/api/(admin|search)", "Operators"),
    (r"/api/agents", "Agents"),
    (r"/api/client", "Clients"),
]
TAGS = [
    {"name": "Clients", "description": "A tenant's fleet: agents, instances, standbys, savings."},
    {"name": "Agents", "description": "What agents call, and the agent paths people share with them."},
    {"name": "Notifications", "description": "Inbox and price alerts."},
    {"name": "Events", "description": "Server-sent events."},
    {"name": "Exports", "description": "CSV downloads."},
    {"name": "Operators", "description": "The whole fleet, for operators."},
    {"name": "Accounts", "description": "Client accounts and their tokens, for operators."},
    {"name": "Models", "description": "Decision engines and models, for operators."},
    {"name": "Service", "description": "Health, API information, this description."},
]

# Component → status, what it means, code, example text.
_ERRORS: dict[str, tuple[int, str, str, str]] = {
    "Invalid": (400, "Something in the request cannot be used.", "VALIDATION_ERROR", "Validation failed"),
    "Unauthorized": (401, "No token, or a wrong one.", "INVALID_TOKEN", "The token is not valid"),
    "Forbidden": (403, "Not for this caller.", "FORBIDDEN", "This belongs to another client"),
    "NotFound": (404, "Unknown, or another tenant's.", "NOT_FOUND", "Not found."),
    "Conflict": (
        409,
        "The state of things forbids it, or the same X-Request-ID is in use.",
        "DUPLICATE_REQUEST",
        "A request with this X-Request-ID is still running",
    ),
    "TooLarge": (413, "The body is too large.", "PAYLOAD_TOO_LARGE", "The request body is too large"),
    "UnsupportedMediaType": (
        415,
        "The body is of another type than the operation takes.",
        "UNSUPPORTED_MEDIA_TYPE",
        'Unsupported media type "text/plain" in request.',
    ),
    "TooManyRequests": (429, "Too often; see Retry-After.", "RATE_LIMITED", "Too many requests, try again later."),
    "Internal": (500, "A defect of the server.", "INTERNAL", "Internal server error"),
    "Unavailable": (503, "Try again; see Retry-After.", "UNAVAILABLE", "The database does not answer, try again"),
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}}


def _error_response(status: int, description: str, code: str, message: str) -> dict[str, Any]:
    details = {"name": ["This field is required."]} if code == "VALIDATION_ERROR" else {}
    response: dict[str, Any] = {
        "description": description,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "examples": {code: {"value": envelope(message, code, details)}},
            }
        },
    }
    if status == 401:
        challenge = {"description": "`Bearer`", "schema": {"type": "string"}}
        response["headers"] = {"WWW-Authenticate": challenge}
    if status in (429, 503):
        response["headers"] = _RETRY_AFTER
    return response


COMPONENTS: dict[str, Any] = {
    "schemas": {
        "Error": {
            "type": "object",
            "description": "The body of every answer that is not 2xx.",
            "required": ["status", "error", "code", "data", "details", "message"],
            "properties": {
                "status": {"type": "string", "enum": ["error"]},
                "error": {"type": "string", "description": "For people."},
                "code": {"type": "string", "pattern": "^[A-Z0-9_]+$", "description": "For programs."},
                "data": {"description": "Null, but for an unhealthy /health."},
                "details": {"type": "object", "additionalProperties": {}, "description": "Field → what is wrong."},
                "message": {"type": "string", "description": "The same text as `error`."},
            },
        }
    },
    "responses": {name: _error_response(*error) for name, error in _ERRORS.items()},
}
_REQUEST_ID = build_parameter_type(
    name="X-Request-ID",
    schema={"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
    location="header",
    description="Makes the call idempotent: a repetition within 24 h with the same value is answered from memory.",
)


_VISIBLE = r"[^\s\x00-\x1f\x7f-\xa0]"  # one character that is neither space nor control


class ApiSchema(AutoSchema):
    def get_tags(self) -> list[str]:
        return [next((tag for pattern, tag in _TAGS if re.match(pattern, self.path)), "Service")]

    def get_description(self) -> str:  # type: ignore[override]
        """The method's docstring; the class's is about the code."""
        view = self.view
        doc: str = get_doc(getattr(view, getattr(view, "action", None) or self.method.lower()))
        return doc

    def get_operation_id(self) -> str:
        """`post_client_instances_force_switch`: method and path, a last parameter as `by_…`."""
        words = [part for part in self.path.removeprefix("/api").split("/") if part]
        fixed = [word.replace("-", "_") for word in words if not word.startswith("{")]
        if words and words[-1].startswith("{"):
            fixed.append("by_" + words[-1].strip("{}"))
        return "_".join([self.method.lower(), *(fixed or ["root"])])

    def _is_list_view(self, serializer: Any = None) -> bool:
        """Only `many=True` makes an array of it: some actions named `list` answer an object with a list inside."""
        answer = self.get_response_serializers() if serializer is None else serializer
        if isinstance(answer, dict) and answer:
            answer = answer[min(answer, key=str)]
        return bool(is_list_serializer(answer))

    def _map_serializer_field(self, field: Any, direction: Direction, bypass_extensions: bool = False) -> Any:
        """Bodies: text that must not be blank has to show something."""
        schema = super()._map_serializer_field(field, direction, bypass_extensions)
        if direction == "request" and type(field) is serializers.CharField and not field.allow_blank:
            schema |= {"minLength": 1, "pattern": _VISIBLE}
        return schema

    def _get_parameters(self) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = super()._get_parameters()
        for parameter in parameters:
            if parameter["in"] == "query" and self.method in SAFE_METHODS:
                _accept_anything(parameter)
        is_idempotent = self.method not in SAFE_METHODS and self._has_throttle("honours_request_id")
        return parameters + ([_REQUEST_ID] if is_idempotent else [])

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        """Deletions answer 200 with a body: the dashboard takes a 204 for a failure (dashboard-api 1.7)."""
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        if "204" in bodies:
            del bodies["204"]
            bodies["200"] = self._get_response_for_code(self.get_response_serializers(), "200", direction=direction)
        errors = {str(_ERRORS[name][0]): {"$ref": f"#/components/responses/{name}"} for name in self._errors()}
        return dict(sorted((errors | bodies).items()))

    def _errors(self) -> list[str]:
        is_public = not self.view.get_authenticators()
        names = ["Internal", "Unavailable"]
        if not is_public:
            names += ["Unauthorized", "Forbidden", "NotFound", "Invalid"]
        if self.method not in SAFE_METHODS:
            names += ["Conflict", "TooLarge", "UnsupportedMediaType"]
        if self._has_throttle("limits_rate"):
            names.append("TooManyRequests")
        return names

    def _has_throttle(self, trait: str) -> bool:
        return any(getattr(throttle, trait, False) for throttle in self.view.get_throttles())


def add_common_parts(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Postprocessing hook: what operations refer to, and away with marks of drf-spectacular's own."""
    _remove(result, "x-spec-enum-id")
    for kind, parts in COMPONENTS.items():
        result["components"][kind] = parts | result["components"].get(kind, {})
    return result | {"tags": TAGS}


def _remove(part: Any, key: str) -> None:
    if isinstance(part, dict):
        part.pop(key, None)
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _remove(inner, key)


def _accept_anything(parameter: dict[str, Any]) -> None:
    """Reads take any text for a filter or limit: what is no such value is ignored or clamped (dashboard-api 1.5).

    A parameter that is refused instead says `extensions={"x-exact": True}`.
    """
    schema = parameter["schema"]
    if schema != {"type": "string"} and not parameter.pop("x-exact", False):
        parameter["schema"] = {"anyOf": [schema, {}]}
        note = "Other values are clamped or ignored."
        parameter["description"] = f"{parameter.get('description', '')} {note}".strip()
