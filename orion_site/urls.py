"""Every address of the server: the dashboard, the admin, and the API."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from orion_site import urls_api
from orion_site.status import status

urlpatterns = [
    path("", include("runs.web.urls")),
    path("status", status, name="status"),
    path("admin/", admin.site.urls),
    *urls_api.urlpatterns,
]
