"""Django's `migrate`, with each migration and its record in one transaction.

Django records a migration after the transaction that creates its tables, when it adds indexes or foreign keys. A
process that is killed in between leaves a database that cannot be upgraded: the next upgrade tries to create tables
that exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command
from django.core.management.commands import migrate as command
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState


class WholeMigrations(MigrationExecutor):
    """Applies and records each atomic migration in one transaction."""

    def apply_migration(
        self, state: ProjectState, migration: Migration, fake: bool = False, fake_initial: bool = False
    ) -> ProjectState:
        if not migration.atomic:
            return super().apply_migration(state, migration, fake, fake_initial)
        with _one_transaction(self.connection):
            return super().apply_migration(state, migration, fake, fake_initial)


@contextmanager
def _one_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    # SQLite recreates tables, for which foreign keys must be off, and they cannot be switched within a transaction.
    is_off: Any = connection.vendor == "sqlite" and connection.disable_constraint_checking()
    try:
        with transaction.atomic(connection.alias):
            yield
    finally:
        if is_off:
            connection.enable_constraint_checking()


def migrate() -> None:
    """Apply all missing migrations."""
    # The command imports its executor into its module; there is no other way to replace it.
    command.MigrationExecutor = WholeMigrations  # type: ignore[attr-defined]
    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
