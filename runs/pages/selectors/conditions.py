"""Conditions of lists of runs on what no index covers: which agent claimed a run, and the values of its parameters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import or_
from typing import Any, Literal
from uuid import UUID

from django.db import connection
from django.db.models import F, JSONField, OuterRef, Q, Subquery, Value
from django.db.models.fields.json import KeyTransform, KeyTransformExact
from django.db.models.functions import Concat

from deployments.models import Worker
from runs.models import FlowRunState

# The author of states that are written when an agent claims a run starts with this.
AGENT = "agent "
LONGEST_AUTHOR = 255
# Keys of a path that are read as a key and as an index.
MOST_READ_TWICE = 3


@dataclass(frozen=True, slots=True)
class GivenParameter:
    """A parameter, by the keys that lead to it, with one of these scalar values."""

    path: Sequence[str]
    values: Sequence[Any]


def is_claimed_by(agent: str, run: Literal["pk", "flow_run_id"]) -> Q:
    """Return the condition for runs that this agent claimed at any attempt. It is named by its name or its id."""
    is_author = Q(author=f"{AGENT}{agent}"[:LONGEST_AUTHOR])
    try:
        named = Worker.objects.filter(pk=UUID(agent)).order_by().values("name")
        is_author |= Q(author=Concat(Value(AGENT), Subquery(named)))
    except ValueError:
        pass
    claims = FlowRunState.objects.filter(is_author, flow_run=OuterRef(run), type="PENDING").order_by()
    # Not EXISTS: PostgreSQL could turn it into a join that reads all states of all runs.
    return Q(**{run: Subquery(claims.values("flow_run_id")[:1])})


def has_parameter(given: GivenParameter, column: str) -> Q:
    """Return the condition for rows whose parameters have one of the values."""
    # PostgreSQL looks at what it finds whether a key is that of an object or an index.
    readings = _readings(given.path) if connection.vendor == "sqlite" else [""]
    found = [ValueAt(given.path, reading, F(column)) for reading in readings]
    return reduce(or_, (Q(KeyTransformExact(one, value)) for one in found for value in given.values))


def _readings(path: Sequence[str]) -> list[str]:
    """Return what the keys can mean to SQLite: digits are a key of an object, or an index of a list.

    It compares keys as they are spelled in the stored text. Of other letters than ASCII, models store escapes, and
    requests the letters themselves.
    """
    spellings = (True,) if all(key.isascii() for key in path) else (True, False)
    digits = [number for number, key in enumerate(path) if number and key.isascii() and key.isdigit()]
    readings: list[str] = []
    for is_escaped in spellings:
        steps = [[f".{json.dumps(key, ensure_ascii=is_escaped)}"] for key in path]
        for number in digits:
            index = f"[{path[number]}]"
            # Each doubles the work. The last ones of very many are indices, as in lists of lists.
            steps[number] = [*steps[number], index] if number in digits[:MOST_READ_TWICE] else [index]
        readings += ["$" + "".join(one) for one in product(*steps)]
    return readings


class ValueAt(KeyTransform):
    """The value behind keys. A transform, because in the name of a lookup a key called `in` would be an operator."""

    def __init__(self, keys: Sequence[str], reading: str, of: Any) -> None:
        super().__init__(keys[-1], of, output_field=JSONField())
        self.keys, self.reading = keys, reading

    def as_sqlite(self, compiler: Any, connection: Any, **extra_context: Any) -> tuple[str, tuple[Any, ...]]:
        column, values = compiler.compile(self.lhs)
        kind = f"JSON_TYPE({column}, %s)"
        known = ", ".join(f"'{one}'" for one in connection.ops.jsonfield_datatype_values)
        whole = f"(CASE WHEN {kind} IN ({known}) THEN {kind} ELSE JSON_EXTRACT({column}, %s) END)"
        return whole, (*values, self.reading) * 3

    def as_postgresql(self, compiler: Any, connection: Any, **extra_context: Any) -> tuple[str, tuple[Any, ...]]:
        column, values = compiler.compile(self.lhs)
        return f"({column} #> %s)", (*values, list(self.keys))
