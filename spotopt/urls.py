"""Every address of the server. Each app's `urls.py` is a table: literals before parameters, no trailing slash."""

from django.contrib import admin
from django.urls import include, path

from spotopt import views
from spotopt.monitoring.views import metrics

handler404 = "spotopt.views.not_found"
handler500 = "spotopt.views.server_error"

urlpatterns = [
    path("", include("instances.urls")),  # before agents: `register` and `uninstall` are no agent ids
    path("", include("agents.urls")),  # and both first: nearly all calls are theirs, and the table is read from the top
    path("", views.RootView.as_view()),
    path("health", views.HealthView.as_view()),
    path("metrics", metrics),
    path("", include("spotopt.dashboard.urls")),  # before the admin: it has a login of its own
    path("admin/", admin.site.urls),
    path("", include("spotopt.schema")),
    path("", include("analytics.urls")),
    path("", include("decisions.urls")),
    path("", include("notifications.urls")),
    path("", include("clients.urls")),
]
