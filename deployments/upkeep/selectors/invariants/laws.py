"""An invariant as a query that returns its violations: an id, followed by the values for the message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction

from orchestration.tables import dialect
from orionflow.contract.states import StateType, in_order

ROWS_AT_ONCE = 2_000


def sql_of(types: frozenset[StateType]) -> str:
    """Return types of states as the right side of IN."""
    return f"({', '.join(map(repr, in_order(types)))})"


class Violation(NamedTuple):
    """An invariant, and a row that violates it."""

    invariant: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.invariant}  {self.subject}  {self.message}"


@dataclass(frozen=True, slots=True)
class Law:
    """An invariant. `sql` returns (id, …) for each violation; `message` is formatted with the values after the id.

    With a `patience` the query has one parameter: the moment that long ago.
    """

    invariant: str
    kind: str
    sql: str
    message: str
    patience: timedelta | None = None


def broken(law: Law, now: datetime) -> Iterator[Violation]:
    db = dialect()
    values = [] if law.patience is None else [db.moment(now - law.patience)]
    for subject, *details in rows_of(law.sql, values):
        yield Violation(law.invariant, f"{law.kind} {db.read_uuid(subject)}", law.message.format(*details))


def rows_of(sql: str, values: Sequence[Any] = ()) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query in chunks, because there may be millions."""
    with _as_long_as_it_takes(), connection.chunked_cursor() as cursor:
        cursor.execute(sql, values)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield from rows


@contextmanager
def _as_long_as_it_takes() -> Iterator[None]:
    if connection.vendor == "sqlite":
        # SQLite has no such limits, and a transaction would block other writers.
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Checking millions of runs takes longer than a request may.
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield
