"""The operators' console: one base class, so that looks and habits change in one place.

Every action is noted (`LogEntry`: who, what, on which row) and can be pressed in the list and on a row's own page.
What it does is a service's business, as for the API.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, NamedTuple, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import model_format_dict
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

from spotopt.common.errors import DomainError

MOST_AT_ONCE = 100  # rows of one action: each is a transaction of its own, and the browser waits
NOTED_BY_DJANGO = "delete_selected"


class BoundedPaginator(Paginator):
    """Counts no further than LIMIT: tables that only grow have millions of rows, and nobody turns 200 pages."""

    LIMIT = 10_000

    @cached_property
    def count(self) -> int:
        rows = cast(QuerySet[Any], self.object_list)
        return rows.order_by()[: self.LIMIT].count()


class Related(NamedTuple):
    """A link from a row's page to the list of what belongs to it."""

    label: str
    model: str  # app_label.model_name
    lookup: str
    field: str = "pk"  # of the row


class OpsAdmin(admin.ModelAdmin):
    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator
    change_form_template = "admin/console_row.html"
    related: tuple[Related, ...] = ()

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For actions on rows that nobody may edit: the right to change them, asked for by its name."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def suits(self, action: str, row: Any) -> bool:
        """Whether the button makes sense on the row's page. The service decides whether it may be."""
        return True

    def describe(self, row: Any) -> str:
        """In questions and messages, which begin with a capital: a bare id would get one, too."""
        return f"{self.opts.verbose_name} {row}"

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        allowed: dict[str, Any] = super().get_actions(request)
        return {
            name: (act if name == NOTED_BY_DJANGO else self._noted(act, title), name, title)
            for name, (act, _, title) in allowed.items()
        }

    def _noted(self, act: Callable[..., Any], title: str) -> Callable[..., Any]:
        words = title % model_format_dict(self.opts)

        @wraps(act)
        def run(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
            rows = list(queryset[: MOST_AT_ONCE + 1])
            if len(rows) > MOST_AT_ONCE:
                self.message_user(request, f"Select at most {MOST_AT_ONCE} rows", messages.ERROR)
                return None
            answer = act(model_admin, request, queryset)
            is_question = isinstance(answer, HttpResponseBase) and not is_confirmed(request)
            if not is_question and not getattr(request, "console_noted", False):
                self.note(request, rows, words)
            return answer

        return run

    def note(self, request: HttpRequest, rows: Iterable[Any], text: str) -> None:
        LogEntry.objects.log_actions(cast(int, request.user.pk), cast(Any, list(rows)), CHANGE, text)

    def on_each(self, request: HttpRequest, rows: Iterable[Any], act: Callable[[Any], str]) -> None:
        """Each for itself: some may be refused. `act` says what was done; what it says is shown and noted."""
        request.console_noted = True  # type: ignore[attr-defined]
        for row in rows:
            name = self.describe(row)
            try:
                said = act(row)
            except DomainError as refusal:
                self.message_user(request, f"{name}: {refusal.message}", messages.ERROR)
                self.note(request, [row], f"Refused: {refusal.message}")
            else:
                self.message_user(request, f"{name}: {said}", messages.SUCCESS)
                self.note(request, [row], said)

    def ask(
        self, request: HttpRequest, queryset: QuerySet[Any], *, title: str, warning: str, form: forms.Form | None = None
    ) -> TemplateResponse:
        """A page before something that cannot be undone, or needs more to be known. Its button is the action again."""
        context = self.admin_site.each_context(request) | {
            "title": title,
            "warning": warning,
            "form": form,
            "opts": self.opts,
            "rows": [(row.pk, self.describe(row)) for row in queryset],
            "action": request.POST["action"],
            "back": safe_return(request),
        }
        return TemplateResponse(request, "admin/console_question.html", context)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        answer = super().response_action(request, queryset, *args)
        back = safe_return(request)
        return HttpResponseRedirect(back) if back and isinstance(answer, HttpResponseRedirect) else answer

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if row := kwargs.get("obj"):
            context |= {"buttons": self.buttons(request, row), "links": [_link(one, row) for one in self.related]}
        return super().render_change_form(request, context, *args, **kwargs)

    def buttons(self, request: HttpRequest, row: Model) -> list[tuple[str, str]]:
        """(action, words) of what this user may press on this row."""
        return [
            (name, title % model_format_dict(self.opts))
            for name, (_, _, title) in self.get_actions(request).items()
            if name != NOTED_BY_DJANGO and self.suits(name, row)
        ]


def is_confirmed(request: HttpRequest) -> bool:
    return "confirmed" in request.POST


def safe_return(request: HttpRequest) -> str:
    """Where the button stood, if that is a page of this server."""
    back: str = request.POST.get("back", "")
    is_ours = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return back if is_ours else ""


def _link(related: Related, row: Model) -> tuple[str, str]:
    address = reverse(f"admin:{related.model.replace('.', '_')}_changelist")
    return related.label, f"{address}?{urlencode({related.lookup: getattr(row, related.field)})}"


class ReadOnlyAdmin(OpsAdmin):
    """History, and what only services may change: looked at, never edited."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class HistoryAdmin(ReadOnlyAdmin):
    """Tables that only grow: newest first by primary key, which needs no other index."""

    ordering = ["-pk"]
