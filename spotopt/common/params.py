"""Query parameters of reads: what is no such value is ignored, what is out of range is clamped (dashboard-api 1.5)."""

from rest_framework.request import Request


def whole_number(request: Request, name: str, *, default: int, least: int = 1, most: int) -> int:
    """`default` where the parameter is missing or no whole number."""
    try:
        given = int(request.query_params.get(name, ""))
    except ValueError:
        return default
    return min(max(given, least), most)
