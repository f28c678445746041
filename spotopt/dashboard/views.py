from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_safe

from spotopt.dashboard import bundle
from spotopt.dashboard.access import operators_only, with_strict_policy
from spotopt.dashboard.overview import context_of


@require_safe
@operators_only
def dashboard(request: HttpRequest) -> HttpResponseBase:
    """The configured bundle's page, or the server's own overview (dashboard-api 1.3)."""
    index = bundle.index_file()
    return bundle.page(index) if index else _overview(request)


@with_strict_policy
@never_cache
def _overview(request: HttpRequest) -> HttpResponseBase:
    return render(request, "spotopt/overview.html", context_of(request.GET))


@require_safe
@cache_control(public=True, max_age=86400)
def icon(request: HttpRequest) -> HttpResponseBase:
    """Bundles name /vite.svg without containing it (dashboard-api 6.3), and browsers ask for /favicon.ico."""
    return HttpResponse(_icon(), content_type="image/svg+xml")


@cache
def _icon() -> bytes:
    return Path(finders.find("spotopt/icon.svg") or "").read_bytes()
