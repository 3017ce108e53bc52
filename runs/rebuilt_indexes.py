"""An operation of migrations that makes an index in another way, while servers read the old one and write."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations.base import Operation, OperationCategory
from django.db.models import Index


class RebuildIndex(Operation):
    """Put an index in the place of one with the same name; once more where an upgrade was ended before its time.

    PostgreSQL builds the new one beside writers, and drops the old one only then: a list that lost its index would read
    every run meanwhile. A migration with this operation is atomic on SQLite alone.
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
            # With the index SQLite forgets how common its values are.
            schema_editor.execute(f"ANALYZE {name}")
            return
        statement = str(self.index.create_sql(model, schema_editor, concurrently=True))
        rebuild_beside_writers(schema_editor, self.index.name, statement)

    def describe(self) -> str:
        return f"Build the index {self.index.name} again"


def rebuild_beside_writers(schema_editor: Any, name: str, statement: str) -> None:
    """Have PostgreSQL run `statement`, which creates the index, under another name first."""
    quoted, draft = schema_editor.quote_name(name), schema_editor.quote_name(f"{name}_new")
    schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {draft}")
    schema_editor.execute(statement.replace(quoted, draft, 1))
    schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted}")
    schema_editor.execute(f"ALTER INDEX {draft} RENAME TO {quoted}")
