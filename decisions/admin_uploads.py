"""What was uploaded: model sessions and decision engines, exchanged here or through the API by one service."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse

from decisions.models import ModelFile, ModelSession, PoolPrediction, UploadedEngine
from decisions.services import engines, sessions
from spotopt.common.admin import HistoryAdmin, ReadOnlyAdmin, is_confirmed
from spotopt.common.errors import DomainError


class ModelFileInline(admin.TabularInline):
    model = ModelFile
    fields = ["name", "size", "sha256", "metadata"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OperatedAdmin(HistoryAdmin):
    """Of these one is live: an action is about one row."""

    def one_of(self, request: HttpRequest, queryset: QuerySet[Any], what: str) -> Any:
        """None unless exactly one is selected."""
        chosen = list(queryset[:2])
        if len(chosen) == 1:
            return chosen[0]
        self.message_user(request, f"Select one {what}", messages.ERROR)
        return None

    def carry_out(self, request: HttpRequest, act: Callable[[], str]) -> None:
        try:
            said = act()
        except DomainError as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
        else:
            self.message_user(request, said, messages.SUCCESS)


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=500, help_text="Goes on record, with your name.")


@admin.register(ModelSession)
class ModelSessionAdmin(OperatedAdmin):
    list_display = [
        "name", "version", "status", "backtested", "failing_since", "file_count", "total_size", "uploaded_by",
        "created_at", "activated_at",
    ]  # fmt: skip
    list_filter = ["status"]
    search_fields = ["=public_id", "name__startswith"]
    readonly_fields = ["backtested"]
    inlines = [ModelFileInline]
    actions = ["make_live", "force_live", "roll_back"]

    def suits(self, action: str, row: Any) -> bool:
        return action == "roll_back" or row.status != ModelSession.Status.ACTIVE

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counted = super().get_queryset(request)
        return counted.annotate(file_count=Count("files"), total_size=Sum("files__size"))

    @admin.display(description="files", ordering="file_count")
    def file_count(self, session: Any) -> int:
        return int(session.file_count)

    @admin.display(description="bytes", ordering="total_size")
    def total_size(self, session: Any) -> int:
        return int(session.total_size or 0)

    @admin.display(description="backtest")
    def backtested(self, session: ModelSession) -> str:
        found = session.backtest
        if not found:
            return "none yet"
        forced = f"; forced: {found['forced_because']}" if found["forced_because"] else ""
        return f"{found['status']}: {found['summary']}{forced}"

    @admin.action(description="Make the selected session live", permissions=["operate"])
    def make_live(self, request: HttpRequest, queryset: QuerySet[ModelSession]) -> None:
        self._activate(request, queryset, forced_because="")

    @admin.action(description="Make it live although it is worse …", permissions=["operate"])
    def force_live(self, request: HttpRequest, queryset: QuerySet[ModelSession]) -> HttpResponse | None:
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if not form.is_valid():
            warning = "The recorded history is replayed once more; it is made live whatever comes out."
            return self.ask(request, queryset, title="Make it live", warning=warning, form=form)
        self._activate(request, queryset, forced_because=form.cleaned_data["reason"])
        return None

    @admin.action(description="Go back to the fallback, whichever is selected", permissions=["operate"])
    def roll_back(self, request: HttpRequest, queryset: QuerySet[ModelSession]) -> None:
        actor = request.user.get_username()
        self.carry_out(request, lambda: f"Models {sessions.roll_back(actor=actor)} are live again")

    def _activate(self, request: HttpRequest, queryset: QuerySet[ModelSession], *, forced_because: str) -> None:
        chosen, actor = self.one_of(request, queryset, "session"), request.user.get_username()

        def act() -> str:
            session = sessions.activate(session_id=chosen.public_id, actor=actor, forced_because=forced_because)
            return f"Models {session} are live ({session.backtest['summary']})"

        if chosen is not None:
            self.carry_out(request, act)


@admin.register(PoolPrediction)
class PoolPredictionAdmin(ReadOnlyAdmin):
    list_display = ["pool_id", "interruption_probability_24h", "expected_price_24h", "session", "predicted_at"]
    list_select_related = ["session"]
    search_fields = ["pool_id__startswith"]
    ordering = ["pool_id"]


@admin.register(UploadedEngine)
class UploadedEngineAdmin(OperatedAdmin):
    list_display = [
        "name", "version", "status", "failing_since", "failure", "size", "uploaded_by", "created_at", "activated_at",
    ]  # fmt: skip
    list_filter = ["status"]
    search_fields = ["=public_id", "=sha256", "name__startswith"]
    actions = ["make_live", "use_built_in"]

    @admin.action(description="Make the selected engine live", permissions=["operate"])
    def make_live(self, request: HttpRequest, queryset: QuerySet[UploadedEngine]) -> None:
        chosen, actor = self.one_of(request, queryset, "engine"), request.user.get_username()
        if chosen is not None:
            self.carry_out(
                request,
                lambda: f"{engines.activate_engine(engine_id=chosen.public_id, actor=actor)} is live",
            )

    @admin.action(description="Go back to the built-in engine, whichever is selected", permissions=["operate"])
    def use_built_in(self, request: HttpRequest, queryset: QuerySet[UploadedEngine]) -> None:
        changed = engines.use_built_in(actor=request.user.get_username())
        self.message_user(request, "The built-in engine decides" + ("" if changed else " already"), messages.SUCCESS)
