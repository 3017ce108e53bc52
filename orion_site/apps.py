"""The operators' room: Django's admin, with Orion's own site."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class OrionAdminConfig(AdminConfig):
    default_site = "orion_site.admin_site.OrionAdminSite"
