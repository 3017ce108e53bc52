"""The operators' room: Django's admin under Orion's name, with its own thin skin in `templates/admin`."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.http import HttpRequest

from orion_site.accounts.permissions import Action, actor_of, may


class OrionAdminSite(AdminSite):
    site_title = "Orion admin"
    site_header = "Orion admin"
    index_title = "What Orion stores"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Django asks whether the user is of the staff; Orion, whether the actor may operate it."""
        return may(actor_of(request), Action.OPERATE) and super().has_permission(request)
