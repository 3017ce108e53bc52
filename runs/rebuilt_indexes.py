"""A migration operation that rebuilds an index with another definition while servers read and write."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations.base import Operation, OperationCategory
from django.db.models import Index


class RebuildIndex(Operation):
    """Replace an index by one with the same name. It can be repeated after an interrupted upgrade.

    PostgreSQL builds the new index concurrently, and drops the old one only afterwards: without any, a list would read
    every run meanwhile. On PostgreSQL, a migration with this operation must not be atomic.
    """

    reduces_to_sql = True
    reversible = False
    category = OperationCategory.ALTERATION

    def __init__(self, model_name: str, index: Index) -> None:
        self.model_name = model_name.lower()
        self.index = index

    def state_forwards(self, app_label: str, state: Any) -> None:
        state.remove_index(app_label, self.model_name, self.index.name)
        state.add_index(app_label, self.model_name, self.index)

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        name = schema_editor.quote_name(self.index.name)
        if schema_editor.connection.vendor != "postgresql":
            schema_editor.execute(f"DROP INDEX IF EXISTS {name}")
            schema_editor.add_index(model, self.index)
            # Dropping the index also dropped its statistics, which SQLite's planner needs.
            schema_editor.execute(f"ANALYZE {name}")
            return
        statement = str(self.index.create_sql(model, schema_editor, concurrently=True))
        rebuild_beside_writers(schema_editor, self.index.name, statement)

    def describe(self) -> str:
        return f"Build the index {self.index.name} again"


def rebuild_beside_writers(schema_editor: Any, name: str, statement: str) -> None:
    """Let PostgreSQL run `statement`, which creates the index, under a temporary name first."""
    quoted, draft = schema_editor.quote_name(name), schema_editor.quote_name(f"{name}_new")
    # An interrupted attempt leaves an invalid index with this name.
    schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {draft}")
    schema_editor.execute(statement.replace(quoted, draft, 1))
    schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted}")
    schema_editor.execute(f"ALTER INDEX {draft} RENAME TO {quoted}")
