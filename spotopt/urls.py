"""Every address of the server. Each app's `urls.py` is a table: literals before parameters, no trailing slash."""

from django.contrib import admin
from django.urls import include, path

from spotopt import views

handler404 = "spotopt.views.not_found"
handler500 = "spotopt.views.server_error"

urlpatterns = [
    path("", views.root),
    path("health", views.health),
    path("admin/", admin.site.urls),
    path("", include("analytics.urls")),
    path("", include("instances.urls")),  # before agents: `register` and `uninstall` are no agent ids
    path("", include("agents.urls")),
    path("", include("clients.urls")),
]
