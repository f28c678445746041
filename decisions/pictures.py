"""What a decision weighed, as a picture: a bar for each candidate, its price and what its risk is valued at."""

from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

LABEL, BARS, FIGURES, ROW = 230, 420, 170, 22  # user units: columns, and the height of a line
PRICE, RISK = "#3b82f6", "#f59e0b"


def candidates_picture(candidates: Sequence[dict[str, Any]], *, here: str | None, target: str | None) -> SafeString:
    """An SVG in the order given, in USD per hour. Where a price is not known there is no bar, and it says so.

    `here` and `target` are pool ids, empty for on-demand, None where there is none.
    """
    if not candidates:
        return SafeString("–")
    longest = max((_total(one) or 0.0 for one in candidates), default=0.0) or 1.0
    rows = [
        _row(number, one, scale=BARS / longest, mark=_mark(one, here, target)) for number, one in enumerate(candidates)
    ]
    return format_html(
        '<svg viewBox="0 0 {} {}" width="100%" style="max-width: {}px" role="img" aria-label="Candidates by cost">{}'
        '<text x="{}" y="{}" font-size="12" fill="currentColor">'
        '<tspan fill="{}">■</tspan> price <tspan fill="{}">■</tspan> risk, USD per hour</text></svg>',
        LABEL + BARS + FIGURES,
        ROW * (len(rows) + 1),
        LABEL + BARS + FIGURES,
        format_html_join("", "{}", ([row] for row in rows)),
        LABEL,
        ROW * len(rows) + 16,
        PRICE,
        RISK,
    )


def _row(number: int, candidate: dict[str, Any], *, scale: float, mark: str) -> SafeString:
    top, price, risk = ROW * number, candidate.get("price"), candidate.get("risk_cost") or 0.0
    figure = "price unknown" if price is None else f"{price:.4f} + {risk:.4f}"
    price_width = round((price or 0.0) * scale, 1)
    risk_width = round(risk * scale, 1) if price is not None else 0
    return format_html(
        '<g font-size="12"><title>{}</title>'
        '<text x="{}" y="{}" text-anchor="end" fill="currentColor" font-weight="{}">{}</text>'
        '<rect x="{}" y="{}" width="{}" height="14" fill="{}"/><rect x="{}" y="{}" width="{}" height="14" fill="{}"/>'
        '<text x="{}" y="{}" fill="currentColor">{}</text></g>',
        candidate.get("reason") or "",
        LABEL - 8,
        top + 15,
        "bold" if mark else "normal",
        f"{candidate.get('pool_id') or 'on-demand'}{mark}",
        LABEL,
        top + 4,
        price_width,
        PRICE,
        LABEL + price_width,
        top + 4,
        risk_width,
        RISK,
        LABEL + price_width + risk_width + 6,
        top + 15,
        figure,
    )


def _mark(candidate: dict[str, Any], here: str | None, target: str | None) -> str:
    pool_id = candidate.get("pool_id") or ""
    if pool_id == here:
        return " (here)"
    return " (chosen)" if pool_id == target else ""


def _total(candidate: dict[str, Any]) -> float | None:
    price = candidate.get("price")
    return None if price is None else float(price) + float(candidate.get("risk_cost") or 0.0)
