"""Runs: what flows and tasks did, and what state they are in."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RunsConfig(AppConfig):
    name = "runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from runs.triggers import install_triggers

        post_migrate.connect(install_triggers, sender=self, dispatch_uid="triggers of runs")
