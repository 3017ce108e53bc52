"""Lookups that the two databases spell differently: patterns, and the contents of lists of tags."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import CharField, JSONField, Lookup, TextField

from runs.lists.filters.patterns import has_part


@CharField.register_lookup
@TextField.register_lookup
class Like(Lookup):
    """A case-insensitive part of a text, in which `%` and `_` are SQL's wildcards, as clients expect."""

    lookup_name = "orion_like"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, column_params = self.process_lhs(compiler, connection)
        condition, patterns = has_part(column, self.rhs, connection.vendor)
        return condition, [value for pattern in patterns for value in (*column_params, pattern)]


@JSONField.register_lookup
class HoldsAll(Lookup):
    """Whether a JSON list of texts contains all of the given ones."""

    lookup_name = "orion_holds_all"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, params = compiler.compile(self.lhs)
        wanted = json.dumps(sorted(set(self.rhs)))
        if connection.vendor == "postgresql":
            return f"{column} @> %s::jsonb", [*params, wanted]
        # SQLite has no operator for this: none of the wanted tags may be missing.
        missing = (
            f"SELECT 1 FROM json_each(%s) AS wanted WHERE wanted.value NOT IN (SELECT value FROM json_each({column}))"
        )
        return f"NOT EXISTS ({missing})", [wanted, *params]


@JSONField.register_lookup
class IsEmptyList(Lookup):
    """Whether a JSON list is empty."""

    lookup_name = "orion_is_empty"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, params = compiler.compile(self.lhs)
        count = "jsonb_array_length" if connection.vendor == "postgresql" else "json_array_length"
        return f"{count}({column}) {'=' if self.rhs else '>'} 0", params


@JSONField.register_lookup
class IsNothing(Lookup):
    """Whether a JSON list is stored as an empty one, spelled as in SQLite's partial indexes of runs without tags."""

    lookup_name = "orion_is_nothing"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, params = compiler.compile(self.lhs)
        return f"{column} {'=' if self.rhs else '<>'} '[]'", params
