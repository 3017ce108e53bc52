"""Runs: what flows and tasks did, and what state they are in."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RunsConfig(AppConfig):
    name = "runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(_install_triggers, sender=self, dispatch_uid="triggers of runs")


def _install_triggers(**_: Any) -> None:
    """SQLite drops triggers with a table, and many a change of columns remakes one: look after every migration."""
    from runs.roll_ups import install as roll_ups
    from runs.tag_rows import install as tag_rows

    roll_ups.install()
    tag_rows.install()
