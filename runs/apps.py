"""The app of runs: the history of flows and tasks, and their states."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RunsConfig(AppConfig):
    name = "runs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from runs.beyond_models import install

        post_migrate.connect(install, sender=self, dispatch_uid="what models of runs cannot declare")
