from django.urls import path
from django.views.generic import RedirectView

from spotopt.dashboard import login, views

urlpatterns = [
    path("login", login.SignIn.as_view(), name="login"),
    path("logout", login.sign_out, name="logout"),
    path("admin/login/", RedirectView.as_view(pattern_name="login", query_string=True)),  # one login for all pages
    path("dashboard/", views.dashboard, name="dashboard"),
    path("dashboard", RedirectView.as_view(pattern_name="dashboard", query_string=True)),
    path("vite.svg", views.icon),
    path("favicon.ico", views.icon),
]
