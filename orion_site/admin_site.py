"""The operators' room: Django's admin under Orion's name, with its own thin skin in `templates/admin`."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import path

from orion_site.accounts.local_owner import anybody_can_sign_in
from orion_site.accounts.permissions import Action, actor_of, may


class OrionAdminSite(AdminSite):
    site_title = "Orion admin"
    site_header = "Orion admin"
    index_title = "What operators do"
    enable_nav_sidebar = True

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Group the lists by what operators do with them. The page of one app, which nothing links to, is Django's."""
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
        """Without anybody who could sign in, a form for it would be a riddle: say how the admin is reached."""
        if anybody_can_sign_in():
            return super().login(request, extra_context)
        return render(request, "admin/closed.html", {"port": request.META.get("SERVER_PORT")}, status=403)

    def has_permission(self, request: HttpRequest) -> bool:
        """Django asks whether the user is of the staff; Orion, whether the actor may operate it."""
        return may(actor_of(request), Action.OPERATE) and super().has_permission(request)
