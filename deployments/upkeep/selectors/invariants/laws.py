"""A law is a query whose rows are its violations: an id first, and then what the explanation speaks of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection

from orchestration.tables import dialect
from orionflow.contract.states import StateType, in_order


def sql_of(types: frozenset[StateType]) -> str:
    """Types of states as the right side of IN."""
    return f"({', '.join(map(repr, in_order(types)))})"


class Violation(NamedTuple):
    """A law, and a row that breaks it."""

    invariant: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.invariant}  {self.subject}  {self.message}"


@dataclass(frozen=True, slots=True)
class Law:
    """`sql` gives (id, …) of each violation; `message` is formatted with what follows the id.

    With a `patience` the query has one place for a moment: that long ago.
    """

    invariant: str
    kind: str
    sql: str
    message: str
    patience: timedelta | None = None


def broken(law: Law, now: datetime) -> Iterator[Violation]:
    spell = dialect()
    values = [] if law.patience is None else [spell.moment(now - law.patience)]
    with connection.cursor() as cursor:
        cursor.execute(law.sql, values)
        for subject, *details in cursor.fetchall():
            yield Violation(law.invariant, f"{law.kind} {spell.read_uuid(subject)}", law.message.format(*details))
