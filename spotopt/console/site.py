from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse


class ConsoleSite(AdminSite):
    site_header = site_title = "Spot Optimizer"
    index_title = "Console"
    index_template = "admin/console.html"

    def index(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        from spotopt.console.page import context_of  # models are not loaded yet when this site is made

        return super().index(request, context_of(request) | (extra_context or {}))
