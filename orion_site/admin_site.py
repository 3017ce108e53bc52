"""Django's admin with Orion's name and templates (`templates/admin`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import SimpleLazyObject

from orion_site.accounts.local_owner import anybody_can_sign_in, local_owner
from orion_site.accounts.permissions import LOCAL_OWNER, Action, DenyUndeclared, RoleRefused, actor_of, answer_to, may

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class OrionAdminSite(AdminSite):
    site_title = "Orion admin"
    site_header = "Orion admin"
    index_title = "What operators do"
    enable_nav_sidebar = True

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Group the models by what operators do with them.

        The page of a single app, to which nothing links, is Django's.
        """
        from orion_site.operators.groups import grouped  # knows models

        apps = super().get_app_list(request, app_label)
        return apps if app_label else grouped(apps)

    def get_urls(self) -> list[Any]:
        from orion_site.operators.pruning import prune

        def pruned(request: HttpRequest) -> HttpResponse:
            return prune(self, request)

        return [path("prune/", self.admin_view(pruned), name="prune"), *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from orion_site.operators.groups import numbers

        return super().index(request, {**(extra_context or {}), "numbers": numbers()})

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Redirect to Orion's page to sign in. If no user can sign in, explain how to reach the admin."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise RoleRefused(DenyUndeclared.message)
        if anybody_can_sign_in():
            return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
        return render(request, "admin/closed.html", {"port": request.META.get("SERVER_PORT")}, status=403)

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the actor may use the admin. The admin's log needs a user, so API keys are not accepted."""
        actor = actor_of(request)
        answer_to(actor)
        if actor is LOCAL_OWNER:
            request.user = cast("User", SimpleLazyObject(local_owner))
        return may(actor, Action.OPERATE) and request.user.is_active
