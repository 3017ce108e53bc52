"""The names of existing migrations and of applied ones, compared when a process starts.

Django's own check loads every migration and builds the graph of all models, which takes longer than a short flow.
"""

from __future__ import annotations

from pathlib import Path

from django.apps import apps
from django.db import connection

Name = tuple[str, str]


def known_migrations() -> list[Name]:
    """Return every migration of the installed apps, as (app, name)."""
    return [
        (config.label, file.stem)
        for config in apps.get_app_configs()
        for file in sorted((Path(config.path) / "migrations").glob("[0-9]*.py"))
    ]


def applied_migrations() -> set[Name] | None:
    """Return the applied migrations; None if the database was never migrated."""
    if not _has_migration_table():
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        return set(cursor.fetchall())


def _has_migration_table() -> bool:
    catalogue = (
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'django_migrations'"
        if connection.vendor == "sqlite"
        # Unlike the catalogues, this looks where an unqualified name is found: along the search path.
        else "SELECT 1 WHERE to_regclass('django_migrations') IS NOT NULL"
    )
    with connection.cursor() as cursor:
        cursor.execute(catalogue)
        return cursor.fetchone() is not None


def missing_migrations() -> list[Name] | None:
    """Return the missing migrations in order; None if the database was never migrated."""
    applied = applied_migrations()
    return None if applied is None else [name for name in known_migrations() if name not in applied]


def newer_migrations() -> list[Name]:
    """Return the applied migrations of installed apps that this version does not have."""
    known = set(known_migrations())
    installed = {app for app, _ in known}
    return sorted(name for name in (applied_migrations() or set()) - known if name[0] in installed)


def only_new_apps(missing: list[Name]) -> bool:
    """Whether the missing migrations belong to apps of which none was applied yet.

    A database created inside a user's process has only the tables of runs; a server adds those of accounts and the
    admin.
    """
    applied = {app for app, _ in applied_migrations() or ()}
    return not any(app in applied for app, _ in missing)
