"""The status page: the server, the last runs of its services, and where its data is stored."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import django
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from deployments.upkeep.selectors.service_health import ServiceHealth, services_and_health
from orchestration.database_clock import database_now
from orion_site import __version__
from orion_site.accounts.permissions import Action, requires
from orion_site.live.pages import live_page
from orion_site.services.disks import disks
from orion_site.services.registry import descriptions_of_services


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The kind and version of the database, where it is, and its size in megabytes."""

    kind: str
    place: str
    megabytes: float | None


@requires(Action.READ_SETTINGS)
@live_page
def status(request: HttpRequest) -> HttpResponse:
    services = service_lines()
    ailing = sum(line.health.verdict != "well" for line in services)
    words = "all is well" if services and not ailing else f"{ailing} of {len(services)} services ail" if ailing else ""
    context = {
        "section": "status",
        "title": f"Status{f' · {words}' if words else ''} · Orion",
        "services": services,
        "database": database_facts(),
        "disks": list(disks()),
        "version": __version__,
        "python": platform.python_version(),
        "django": django.get_version(),
    }
    return TemplateResponse(request, "status.html", context)


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """A service that some process runs, and its purpose."""

    health: ServiceHealth
    description: str


def service_lines() -> Sequence[ServiceLine]:
    described = descriptions_of_services()
    return [ServiceLine(one, described.get(one.record.name, "")) for one in services_and_health(now=database_now())]


def database_facts() -> DatabaseFacts:
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        path = Path(settings["NAME"])
        # With the write-ahead log, where the last commits may still be.
        size = sum(file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists())
        return DatabaseFacts(f"SQLite {sqlite3.sqlite_version}", str(path), size / 1e6)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), pg_database_size(current_database())")
        version, size = cursor.fetchone()
    return DatabaseFacts(
        f"PostgreSQL {version}", f"{settings['NAME']} on {settings['HOST'] or 'local socket'}", size / 1e6
    )
