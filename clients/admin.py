"""Client accounts in the operators' console. Everything goes through the services, as from the API."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers

from clients import services
from clients.models import Client, ClientTombstone
from spotopt.common.admin import HistoryAdmin, OpsAdmin, Related, is_confirmed, safe_return
from spotopt.common.errors import DomainError


class ClientForm(forms.ModelForm):
    class Meta:
        model = Client
        fields = ["name", "email", "decision_mode"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            services.check_identity(
                name=cleaned["name"], email=cleaned["email"], of=self.instance if self.instance.pk else None
            )
        except DomainError as refusal:
            raise ValidationError(refusal.message) from None
        return cleaned

    def validate_unique(self) -> None:
        """`check_identity` has done it, and knows that case does not count."""


@admin.register(Client)
class ClientAdmin(OpsAdmin):
    form = ClientForm
    list_display = ["name", "public_id", "email", "is_active", "created_at"]
    list_filter = ["is_active"]
    search_fields = ["name__istartswith", "=public_id", "email__istartswith"]
    ordering = ["name", "id"]
    actions = ["reveal_token", "regenerate_token", "deactivate", "activate"]
    related = (
        Related("Agents", "agents.agent", "client__id__exact"),
        Related("Instances", "instances.instance", "client__id__exact"),
        Related("Orders", "agents.command", "client__id__exact"),
        Related("Moves", "instances.switch", "client__id__exact"),
        Related("Savings by day", "analytics.clientday", "client__id__exact"),
        Related("Events", "notifications.systemevent", "client__id__exact"),
    )
    readonly_fields = [
        "public_id",
        "is_active",
        "default_auto_switch_enabled",
        "default_auto_terminate_enabled",
        "default_terminate_wait_seconds",
        "created_at",
    ]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["name", "email", *(["decision_mode", *self.readonly_fields] if obj else [])]

    def save_model(self, request: HttpRequest, obj: Client, form: Any, change: bool) -> None:
        if change:
            services.rename_client(client=obj, name=obj.name, email=obj.email, actor=_name(request))
            services.set_decision_mode(client=obj, mode=obj.decision_mode, actor=_name(request))
            return
        client, token = services.create_client(name=obj.name, email=obj.email, actor=_name(request))
        obj.pk = client.pk
        obj.refresh_from_db()
        self._show_once(request, client, token)

    def get_deleted_objects(self, objs: Iterable[Any], request: HttpRequest) -> Any:
        """Names the clients only: Django would load every row they own to list it."""
        if not self.has_delete_permission(request):
            return [], {}, {self.opts.verbose_name}, []
        names = [f"{client.name}, with its agents, instances, switches, savings and events" for client in objs]
        return names, {self.opts.verbose_name_plural: len(names)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Client) -> None:
        # After the view's transaction: the service deletes in batches, which one transaction would hold locked.
        transaction.on_commit(partial(services.delete_client, client=obj, actor=_name(request)))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Client]) -> None:
        for client in queryset:
            self.delete_model(request, client)

    def suits(self, action: str, row: Client) -> bool:
        return {"activate": not row.is_active, "deactivate": row.is_active}.get(action, True)

    @admin.action(description="Show the token …", permissions=["change"])
    def reveal_token(self, request: HttpRequest, queryset: QuerySet[Client]) -> HttpResponse:
        """A page of its own: a message would travel in a cookie."""
        if not is_confirmed(request):
            warning = "Whoever knows a token speaks for its client. That you looked is written into the event log."
            return self.ask(request, queryset, title="Show the token", warning=warning)
        tokens: list[tuple[Client, str]] = []
        for client in queryset:
            try:
                tokens.append((client, services.reveal_token(client=client, actor=_name(request))))
            except DomainError as refusal:
                self.message_user(request, f"{client}: {refusal.message}", messages.ERROR)
        context = self.admin_site.each_context(request) | {"title": "Tokens", "opts": self.opts, "tokens": tokens}
        page = TemplateResponse(request, "admin/clients/tokens.html", context | {"back": safe_return(request)})
        add_never_cache_headers(page)
        return page

    @admin.action(description="Make a new token …", permissions=["change"])
    def regenerate_token(self, request: HttpRequest, queryset: QuerySet[Client]) -> HttpResponse | None:
        if not is_confirmed(request):
            warning = (
                "The present token stops working at once. Agents with it are locked out until they have the new one."
            )
            return self.ask(request, queryset, title="Make a new token", warning=warning)
        for client in queryset:
            self._show_once(request, client, services.regenerate_token(client=client, actor=_name(request)))
        return None

    @admin.action(description="Deactivate: refuse the token until activated again", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Client]) -> None:
        self._set_active(request, queryset, is_active=False)

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Client]) -> None:
        self._set_active(request, queryset, is_active=True)

    def _set_active(self, request: HttpRequest, queryset: QuerySet[Client], *, is_active: bool) -> None:
        done = sum(services.set_active(client=client, is_active=is_active, actor=_name(request)) for client in queryset)
        self.message_user(request, f"{done} clients {'activated' if is_active else 'deactivated'}")

    def _show_once(self, request: HttpRequest, client: Client, token: str) -> None:
        self.message_user(request, f"Token of {client.name}, shown this once: {token}", messages.WARNING)


@admin.register(ClientTombstone)
class ClientTombstoneAdmin(HistoryAdmin):
    list_display = ["name", "public_id", "created_at", "deleted_at"]
    search_fields = ["name__istartswith", "=public_id"]


def _name(request: HttpRequest) -> str:
    return request.user.get_username()
