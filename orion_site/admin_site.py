"""The operators' room: Django's admin under Orion's name, with its own thin skin in `templates/admin`."""

from __future__ import annotations

from django.contrib.admin import AdminSite


class OrionAdminSite(AdminSite):
    site_title = "Orion admin"
    site_header = "Orion admin"
    index_title = "What Orion stores"
    enable_nav_sidebar = True
