"""What belongs to no app: API information, health, and JSON for unknown routes and crashes."""

import logging
import sys
import time
from typing import Any

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.cache import patch_vary_headers
from django.views import defaults
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from spotopt.common import clock, metrics
from spotopt.common.errors import DATABASE_AWAY, envelope
from spotopt.common.middleware import error_response, is_api, unavailable
from spotopt.dashboard.views import dashboard
from spotopt.monitoring.access import may_read_metrics
from spotopt.monitoring.jobs import job_intervals
from spotopt.schema import PublicView
from spotopt.serializers import HealthOut, RootOut, UnhealthyOut
from spotopt.status import job_states

log = logging.getLogger(__name__)
_started = time.monotonic()

ENDPOINTS = {
    "health": "/health",
    "admin": "/api/admin/*",
    "client": "/api/client/*",
    "agents": "/api/agents/*",
}


class RootView(PublicView):
    """API information for programs, the dashboard for a browser (dashboard-api 1.3, 2.1)."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        is_browser = "text/html" in request.headers.get("Accept", "")
        response = dashboard(request) if is_browser else super().dispatch(request, *args, **kwargs)
        patch_vary_headers(response, ["Accept"])
        return response

    @extend_schema(summary="What this is", responses=RootOut)
    def get(self, request: Request) -> JsonResponse:
        data = {
            "name": "AWS Spot Optimizer API",
            "version": settings.VERSION,
            "status": "running",
            "environment": settings.ENVIRONMENT,
            "uptime_seconds": _uptime(),
            "endpoints": ENDPOINTS,
        }
        mirrored = {k: data[k] for k in ("name", "version", "uptime_seconds", "endpoints")}
        return JsonResponse({"status": "success", "error": None, "data": data} | mirrored)


class HealthView(PublicView):
    @extend_schema(
        summary="Is the server well?",
        parameters=[
            OpenApiParameter("details", str, description="`true`: how the jobs are, for who may read `/metrics`.")
        ],
        responses={200: HealthOut, 503: UnhealthyOut},
    )
    def get(self, request: Request) -> JsonResponse:
        """200 while the database answers, 503 otherwise (dashboard-api 2.1). Public and cheap: one SELECT 1."""
        timestamp = clock.isoformat(clock.now())
        if not _database_answers():
            state = {"status": "unhealthy", "database": "disconnected", "timestamp": timestamp}
            body = envelope("The database does not answer", "UNHEALTHY") | {"data": state}
            return JsonResponse(body, status=503)
        mirrored: dict[str, Any] = {
            "timestamp": timestamp,
            "database": "connected",
            "decision_engine_loaded": True,  # the built-in one is part of the server
        }
        data = mirrored | {"status": "healthy", "version": settings.VERSION, "uptime_seconds": _uptime()}
        if request.query_params.get("details") == "true" and may_read_metrics(request._request):
            data["jobs"] = job_states(job_intervals())
        return JsonResponse({"status": "success", "error": None, "data": data} | mirrored)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if is_api(request) or "text/html" not in request.headers.get("Accept", ""):
        return error_response("There is nothing at this address", "NOT_FOUND", 404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    if is_api(request) and isinstance(sys.exception(), DATABASE_AWAY):
        metrics.count_database_error(metrics.DatabaseTrouble.UNAVAILABLE)
        return unavailable("The database does not answer, try again")
    if is_api(request):
        return error_response("Internal server error", "INTERNAL", 500)
    return defaults.server_error(request)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        log.warning("health: the database does not answer: %s", type(error).__name__)
        metrics.count_database_error(metrics.DatabaseTrouble.UNAVAILABLE)
        return False
    return True


def _uptime() -> int:
    return int(time.monotonic() - _started)
