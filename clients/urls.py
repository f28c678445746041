from django.urls import path

from clients.views import ClientAdminViewSet, ValidateViewSet

urlpatterns = [
    path("api/client/validate", ValidateViewSet.as_view({"get": "retrieve"})),
    path("api/admin/clients/create", ClientAdminViewSet.as_view({"post": "create"})),
    path("api/admin/clients/<client:client_id>", ClientAdminViewSet.as_view({"delete": "destroy"})),
    path(
        "api/admin/clients/<client:client_id>/regenerate-token",
        ClientAdminViewSet.as_view({"post": "regenerate_token"}),
    ),
    path("api/admin/clients/<client:client_id>/token", ClientAdminViewSet.as_view({"get": "token"})),
]
