"""The app of Django's admin, with Orion's admin site."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class OrionAdminConfig(AdminConfig):
    default_site = "orion_site.admin_site.OrionAdminSite"

    def ready(self) -> None:
        super().ready()
        from orion_site import checks  # noqa: F401 (registers itself)

        self._leave_out_users()

    def _leave_out_users(self) -> None:
        # Users and groups have pages of their own, which call the services of accounts.
        from django.contrib import admin
        from django.contrib.auth.models import Group, User

        for model in (User, Group):
            if admin.site.is_registered(model):
                admin.site.unregister(model)
