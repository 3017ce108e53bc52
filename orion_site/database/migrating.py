"""Django's `migrate`, with each migration and its record in one transaction.

Django records a migration after the transaction that creates its tables, when it adds indexes or foreign keys. A
process that is killed in between leaves a database that cannot be upgraded: the next upgrade tries to create tables
that exist.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command
from django.core.management.commands import migrate as command
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from orionflow.json_lines import print_line

LOCK_NOT_AVAILABLE = "55P03"
# While a migration waits to change a table, everybody else waits behind it for the table: servers for three seconds, in
# the middle of a request. So it waits less, lets them pass, and tries again until no long transaction uses the table.
LOCK_TIMEOUT = "1s"
SECONDS_BETWEEN_TRIES = 2.0


class WholeMigrations(MigrationExecutor):
    """Applies and records each atomic migration in one transaction."""

    def apply_migration(
        self, state: ProjectState, migration: Migration, fake: bool = False, fake_initial: bool = False
    ) -> ProjectState:
        if not migration.atomic:
            return super().apply_migration(state, migration, fake, fake_initial)
        is_reported = False
        while True:
            try:
                with _one_transaction(self.connection):
                    # A migration changes the state that it is given, also if it is rolled back.
                    return super().apply_migration(state.clone(), migration, fake, fake_initial)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
            if not is_reported:
                print_line(f"Waiting for transactions that read or write the tables of the migration {migration}.")
                is_reported = True
            time.sleep(SECONDS_BETWEEN_TRIES)


@contextmanager
def _one_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    # SQLite recreates tables, for which foreign keys must be off, and they cannot be switched within a transaction.
    is_off: Any = connection.vendor == "sqlite" and connection.disable_constraint_checking()
    try:
        with transaction.atomic(connection.alias):
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            yield
    finally:
        if is_off:
            connection.enable_constraint_checking()


def migrate() -> None:
    """Apply all missing migrations."""
    # The command imports its executor into its module; there is no other way to replace it.
    command.MigrationExecutor = WholeMigrations  # type: ignore[attr-defined]
    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
