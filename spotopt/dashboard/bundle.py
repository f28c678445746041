"""A built dashboard in DASHBOARD_DIR. WhiteNoise serves its files at the root, this module the page itself."""

from pathlib import Path

from django.conf import settings
from django.http import HttpResponse

# What holds for any bundle: no page frames it, nothing moves its base. Where it loads from is its own affair.
POLICY = "frame-ancestors 'none'; base-uri 'self'; object-src 'none'; form-action 'self'"


def index_file() -> Path | None:
    """None without a bundle, also while its directory is being filled."""
    index = Path(settings.DASHBOARD_DIR, "index.html") if settings.DASHBOARD_DIR else None
    return index if index and index.is_file() else None


def page(index: Path) -> HttpResponse:
    """Read anew each time: it names the hashes of the assets, so it must never be an old one."""
    return HttpResponse(
        index.read_bytes(),
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": POLICY, "Cache-Control": "private, no-cache"},
    )
