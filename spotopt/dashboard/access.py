"""Who may open the operators' pages, and what these pages may load."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import user_passes_test
from django.http import HttpRequest, HttpResponseBase

View = Callable[..., HttpResponseBase]

# Our own pages load style, script and pictures from this server and nothing from anywhere else.
STRICT_POLICY = "; ".join(
    [
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
)


def is_operator(user: Any) -> bool:
    """The same people whose session the API accepts (clients.authentication)."""
    return bool(user.is_active and user.is_staff)


operators_only = user_passes_test(is_operator)  # all others are sent to LOGIN_URL and come back afterwards


def with_strict_policy(view: View) -> View:
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = STRICT_POLICY
        return response

    return wrapper
