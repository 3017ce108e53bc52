"""The addresses of the full server: the API, its documentation, the admin and the pages."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseServerError, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import include, path

from orion_site.accounts import single_sign_on
from orion_site.accounts.entering import enter
from orion_site.accounts.pages import keys
from orion_site.accounts.pages import users as accounts
from orion_site.accounts.permissions import RoleRefused
from orion_site.accounts.sign_in import sign_in, sign_out
from orion_site.audit.pages import audit
from orion_site.help.pages import help_index, help_page
from orion_site.home.pages import home
from orion_site.metrics.views import metrics
from orion_site.openapi.pages import api_root, redoc, swagger
from orion_site.preferences.middleware import preferences
from orion_site.preferences.pages import switch_zone
from orion_site.search.pages import search
from orion_site.server_settings import pages as server_settings
from orion_site.services.status import status
from orion_site.urls_api import urlpatterns as api_urls

urlpatterns = [
    path("api", api_root, name="api-root"),
    path("api/", api_root),
    *api_urls,
    path("enter/<str:code>", enter, name="enter"),
    path("login", sign_in, name="sign-in"),
    path("login/sso", single_sign_on.begin, name="sign-on"),
    path("login/sso/return", single_sign_on.come_back, name="sign-on-return"),
    path("logout", sign_out, name="sign-out"),
    path("docs", swagger, name="docs"),
    path("redoc", redoc, name="redoc"),
    path("help", help_index, name="help"),
    path("help/<path:name>", help_page, name="help-page"),
    path("metrics", metrics, name="metrics"),
    path("status", status, name="status"),
    path("audit", audit, name="audit"),
    path("search", search, name="search"),
    path("settings", server_settings.settings_page, name="settings"),
    path("settings/browser", server_settings.change_preferences, name="change-preferences"),
    path("settings/zone", switch_zone, name="switch-zone"),
    path("settings/server/<str:name>", server_settings.change, name="change-setting"),
    path("settings/server/<str:name>/reset", server_settings.reset, name="reset-setting"),
    path("settings/keys", keys.keys, name="keys"),
    path("settings/keys/<int:key_id>/revoke", keys.revoke, name="revoke-key"),
    path("settings/password", accounts.change_password, name="change-password"),
    path("settings/users", accounts.users, name="users"),
    path("settings/users/new", accounts.new_user, name="new-user"),
    path("settings/users/<int:user_id>", accounts.user, name="user"),
    path("settings/users/<int:user_id>/switch", accounts.switch_user, name="switch-user"),
    path("settings/users/<int:user_id>/delete", accounts.remove_user, name="delete-user"),
    path("settings/groups", accounts.groups, name="groups"),
    path("settings/groups/new", accounts.new_group, name="new-group"),
    path("settings/groups/<int:group_id>", accounts.group, name="group"),
    path("settings/groups/<int:group_id>/delete", accounts.remove_group, name="delete-group"),
    path("admin/", admin.site.urls),
    path("", home, name="home"),
    path("", include("runs.pages.urls")),
    path("", include("deployments.pages.urls")),
    path("", include("events.pages.urls")),
]


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Show a hint about roles only if another role would help."""
    context = {"exception": str(exception), "is_about_roles": isinstance(exception, RoleRefused) or not str(exception)}
    return render(request, "403.html", context, status=403)


def handler500(request: HttpRequest) -> HttpResponse:
    """Return JSON to programs, even if the API's own handler was not reached, and a page that needs no database."""
    if request.path_info.startswith("/api/"):
        return JsonResponse({"exception_message": "Internal Server Error"}, status=500)
    return HttpResponseServerError(render_to_string("500.html", preferences(request)))
