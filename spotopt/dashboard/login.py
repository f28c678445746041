"""/login and /logout. Staff only; wrong passwords are counted in clients.login, as at the admin's own form."""

from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth import logout
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from clients.login import LoginForm
from spotopt.dashboard.access import is_operator, with_strict_policy


@method_decorator(with_strict_policy, name="dispatch")
class SignIn(LoginView):
    form_class = LoginForm
    template_name = "spotopt/login.html"
    next_page = "dashboard"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if is_operator(request.user):
            return HttpResponseRedirect(self.get_success_url())
        return super().dispatch(request, *args, **kwargs)

    def get_redirect_url(self) -> str:  # type: ignore[override]  # the stubs have an argument that Django has not
        """`next`, if it is an address of this server and does not lead back here."""
        url = super().get_redirect_url()
        return "" if urlsplit(url).path in (reverse("login"), reverse("logout")) else url


@with_strict_policy
@never_cache
@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """A link only asks: a foreign page must not be able to log anybody out by naming this address."""
    if request.method == "POST":
        logout(request)
        return redirect("login")
    return render(request, "spotopt/logout.html")
