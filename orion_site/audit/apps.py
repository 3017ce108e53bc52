"""The audit log as a Django app. Its triggers are installed whenever the database is migrated."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate, pre_migrate

from orchestration import acts


class AuditConfig(AppConfig):
    name = "orion_site.audit"
    label = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        acts.opener = _open
        pre_migrate.connect(_make_room, sender=self, dispatch_uid="audit-triggers")
        post_migrate.connect(_watch, sender=self, dispatch_uid="audit-triggers")
        if apps.is_installed("django.contrib.auth"):
            from orion_site.audit import sessions  # knows users

            sessions.connect()


def _open(*, entrance: str, actor: str, action: str, operation: str) -> AbstractContextManager[object]:
    from orion_site.audit.acting import Who, acting
    from orion_site.audit.models import Entry

    return acting(Who(actor=actor, entrance=Entry.Entrance(entrance)), action, operation)


def _make_room(plan: Any = None, **_: Any) -> None:
    """Remove the triggers before migrations: a column or table that a trigger names cannot be dropped or recreated."""
    if plan:
        from orion_site.audit.triggers import remove

        remove()


def _watch(**_: Any) -> None:
    from orion_site.audit.triggers import install

    install()
