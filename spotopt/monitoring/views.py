import fcntl
import os
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from spotopt.common.metrics import REGISTRY
from spotopt.monitoring import files
from spotopt.monitoring.access import may_read_metrics
from spotopt.monitoring.fleet import FleetCollector


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus (docs/monitoring.md). No part of the API: neither its tokens nor its error bodies apply."""
    if may_read_metrics(request):
        return HttpResponse(_counted() + _read(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    if settings.METRICS_TOKEN:
        headers = {"WWW-Authenticate": "Bearer"}
        return HttpResponse("METRICS_TOKEN is needed\n", status=401, content_type="text/plain", headers=headers)
    return HttpResponse("Not from this address: METRICS_NETWORKS\n", status=403, content_type="text/plain")


def _counted() -> bytes:
    """By all web processes of this machine."""
    directory = os.environ.get(files.VARIABLE)
    if not directory:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)
    with files.locked(Path(directory), fcntl.LOCK_SH):
        return generate_latest(registry)


def _read() -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FleetCollector())
    return generate_latest(registry)
