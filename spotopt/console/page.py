"""What the console's first page prints."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from clients.roles import ADMINISTER, OPERATE
from spotopt.console.problems import Press, Problem, problems
from spotopt.dashboard.overview import context_of as overview_of

LAST_ACTIONS = 10


@dataclass(frozen=True)
class Button:
    action: str
    words: str
    address: str  # the list whose action it is
    row: Any  # primary key


@dataclass(frozen=True)
class Shown:
    problem: Problem
    address: str  # of the page where it is solved; empty for who may not see it
    buttons: list[Button]


def context_of(request: HttpRequest) -> dict[str, Any]:
    chosen = request.GET.copy()
    chosen.pop("client", None)  # problems are everybody's
    overview = overview_of(chosen)
    found = problems(episodes=overview["interruptions"], silent=overview["agents"])
    return overview | {
        "problems": [_shown(request, one) for one in found],
        "role": _role(request.user),
        "deeds": list(LogEntry.objects.select_related("user", "content_type").order_by("-pk")[:LAST_ACTIONS]),
    }


def _shown(request: HttpRequest, problem: Problem) -> Shown:
    buttons = [_button(press) for press in problem.presses if _may(request, press)]
    about = problem.about
    is_seen = about is not None and admin.site._registry[type(about)].has_view_permission(request)
    return Shown(problem, _page(about) if about and is_seen else "", buttons)


def _may(request: HttpRequest, press: Press) -> bool:
    return press.action in admin.site._registry[type(press.row)].get_actions(request)


def _button(press: Press) -> Button:
    opts = press.row._meta
    address = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    return Button(press.action, press.words, address, press.row.pk)


def _page(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _role(user: Any) -> str:
    if user.has_perm(ADMINISTER):
        return "administrator"
    return "operator" if user.has_perm(OPERATE) else "read-only"
