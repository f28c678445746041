"""CSV downloads, opened by a plain navigation of a browser (dashboard-api 2.10)."""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import viewsets
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request

from analytics.selectors import accounts, switches
from analytics.selectors.periods import monthly_export_rows
from clients.permissions import IsOperator, IsOperatorOrClient
from clients.principals import ApiRequest
from clients.services import get_client

CLIENT_ID = OpenApiParameter("client_id", str, OpenApiParameter.PATH)
CSV = {(200, "text/csv"): OpenApiTypes.STR}
SAVINGS = ["Year", "Month", "Month Name", "On-Demand Cost ($)", "Actual Cost ($)", "Savings ($)"]
SWITCHES = [
    "Timestamp",
    "Old Instance ID",
    "New Instance ID",
    "From Mode",
    "To Mode",
    "From Pool",
    "To Pool",
    "Trigger",
    "Price ($)",
    "Savings Impact ($/hr)",
]
CLIENTS = ["Client ID", "Name", "Email", "Total Savings ($)", "Active Instances", "Active Agents", "Created At"]
FORMULA_STARTS = ("=", "+", "-", "@", "\t")
LINES_PER_WRITE = 200


class AnyAccept(BaseContentNegotiation):
    """`Accept: text/csv` is no reason to refuse; errors are JSON whatever was asked for."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]


class ClientExportViewSet(viewsets.ViewSet):
    permission_classes = [IsOperatorOrClient]
    content_negotiation_class = AnyAccept

    @extend_schema(summary="All months' costs and savings, newest first", parameters=[CLIENT_ID], responses=CSV)
    def savings(self, request: ApiRequest, client_id: str) -> StreamingHttpResponse:
        client = get_client(public_id=client_id)
        return streamed(f"client_{client_id}_savings.csv", SAVINGS, monthly_export_rows(client=client))

    @extend_schema(summary="All switches, newest first", parameters=[CLIENT_ID], responses=CSV)
    def switch_history(self, request: ApiRequest, client_id: str) -> StreamingHttpResponse:
        client = get_client(public_id=client_id)
        return streamed(f"client_{client_id}_switch_history.csv", SWITCHES, switches.export_rows(client=client))


class GlobalExportViewSet(viewsets.ViewSet):
    permission_classes = [IsOperator]
    content_negotiation_class = AnyAccept

    @extend_schema(summary="Active clients, highest savings first", responses=CSV)
    def global_stats(self, request: ApiRequest) -> StreamingHttpResponse:
        return streamed("global_stats.csv", CLIENTS, accounts.export_rows())


class _Line:
    """What the CSV writer writes to: its return value is the line."""

    def write(self, text: str) -> str:
        return text


def streamed(filename: str, header: list[str], rows: Iterable[list[Any]]) -> StreamingHttpResponse:
    """Lines end in CRLF. Text that a spreadsheet would take for a formula gets an apostrophe; numbers do not."""
    writer = csv.writer(_Line())
    lines = (writer.writerow(row) for row in chain([header], map(_guarded, rows)))
    disposition = content_disposition_header(as_attachment=True, filename=filename)
    headers = {"Content-Disposition": disposition} if disposition else {}
    return StreamingHttpResponse(_in_blocks(lines), content_type="text/csv; charset=utf-8", headers=headers)


def _guarded(row: list[Any]) -> list[Any]:
    return [f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell for cell in row]


def _in_blocks(lines: Iterator[str]) -> Iterator[str]:
    """A block is a write to the socket."""
    while block := "".join(islice(lines, LINES_PER_WRITE)):
        yield block
