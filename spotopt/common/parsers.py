import json
from collections.abc import Mapping
from typing import Any

from django.http import UnreadablePostError
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.utils import json as strict_json


class JsonObjectParser(JSONParser):
    """JSON bodies are objects; a blank one is "no data" (dashboard-api 1.5).

    A view that can use other JSON says `accepts_any_json = True`.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            text = stream.read()
            data = json.loads(text, parse_constant=strict_json.strict_constant) if text.strip() else {}
        except UnreadablePostError:
            raise ParseError("The request body ended early") from None
        except (ValueError, RecursionError):  # also bytes that are no UTF-8, and numbers of thousands of digits
            raise ParseError("The request body is not valid JSON") from None
        view = (parser_context or {}).get("view")
        if not isinstance(data, dict) and not getattr(view, "accepts_any_json", False):
            raise ValidationError("The request body must be a JSON object")
        return data
