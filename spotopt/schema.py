"""The API's own description: /api/schema, /api/docs (Swagger UI), /api/redoc. Public, and the same for everybody."""

from functools import lru_cache
from typing import Any

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView


class FirstRenderer(BaseContentNegotiation):
    """For views that make their own answer: no Accept header is a reason to refuse."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]


class PublicView(APIView):
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    throttle_classes: list[Any] = []
    content_negotiation_class = FirstRenderer


class SchemaView(PublicView):
    @extend_schema(
        summary="This description",
        description="OpenAPI 3 as JSON, or as YAML with `format=yaml` or an Accept header that names yaml.",
        parameters=[OpenApiParameter("format", str, enum=["json", "yaml"])],
        responses={
            (200, "application/vnd.oai.openapi+json"): OpenApiTypes.OBJECT,
            (200, "application/vnd.oai.openapi"): OpenApiTypes.OBJECT,
        },
    )
    def get(self, request: Request) -> HttpResponse:
        wanted = request.query_params.get("format") or request.headers.get("Accept", "")
        renderer = OpenApiYamlRenderer if "yaml" in wanted else OpenApiJsonRenderer
        return HttpResponse(_rendered(renderer), content_type=renderer.media_type, headers={"Vary": "Accept"})


@lru_cache(maxsize=2)
def _rendered(renderer: type[Any]) -> bytes:
    """Once per process: it takes seconds, and depends on nothing but the code."""
    content: bytes = renderer().render(SchemaGenerator().get_schema(request=None, public=True), renderer_context={})
    return content


_PAGES: dict[str, Any] = {"url": "/api/schema", "authentication_classes": [], "throttle_classes": []}
urlpatterns = [
    path("api/schema", SchemaView.as_view()),
    path("api/docs", SpectacularSwaggerView.as_view(**_PAGES)),
    path("api/redoc", SpectacularRedocView.as_view(**_PAGES, template_name="spotopt/redoc.html")),
]
