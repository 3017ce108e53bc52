"""Users, groups, API keys and permissions. A server without users has one local owner."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "orion_site.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Imported for the receivers that they register.
        from orchestration.authors import acting, judges, judges_of_many, sieves
        from orion_site.accounts import recognised, sessions  # noqa: F401
        from orion_site.accounts.objects import (
            acting_narrowly,
            refused_among,
            refused_rows,
            watch_connections,
            why_refused,
        )

        watch_connections()
        recognised.connect()
        judges.append(why_refused)
        acting.append(acting_narrowly)
        judges_of_many.append(refused_among)
        sieves.append(refused_rows)
