"""The tables of runs and of their states, and the SQL that reads and writes many of their rows at once.

The ORM could do this at several times the cost, but transitions are Orion's hot path (docs/decisions, 0012).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from django.apps import apps
from django.db import connection
from pydantic_core import to_json

from orchestration.errors import FlowRunNotFound, NotFound, TaskRunNotFound

Row = Sequence[Any]
Kind = Literal["flow-run", "task-run"]

_MICROSECOND = timedelta(microseconds=1)
# SQLite accepts 32,766 values in one statement, PostgreSQL 65,535.
_MOST_VALUES = 30_000


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables for the runs of one kind and for their states."""

    kind: Kind
    runs: str
    states: str
    run_column: str
    missing: type[NotFound]


FLOW_RUNS = Tables("flow-run", "runs_flowrun", "runs_flowrunstate", "flow_run_id", FlowRunNotFound)
TASK_RUNS = Tables("task-run", "runs_taskrun", "runs_taskrunstate", "task_run_id", TaskRunNotFound)


# --- values ------------------------------------------------------------------------------------------------------


class Dialect:
    """How one database expects ids, datetimes, periods and JSON, and how to convert the values that it returns."""

    def __init__(
        self,
        uuid: Callable[[UUID], Any],
        moment: Callable[[datetime], Any],
        period: Callable[[timedelta], Any],
        read_uuid: Callable[[Any], UUID],
        read_moment: Callable[[Any], datetime],
        read_period: Callable[[Any], timedelta],
    ) -> None:
        self.uuid, self.moment, self.period = uuid, moment, period
        self.read_uuid, self.read_moment, self.read_period = read_uuid, read_moment, read_period
        self._writers: Mapping[type, Callable[[Any], Any]] = {
            **{UUID: uuid, datetime: moment, timedelta: period},
            **dict.fromkeys((dict, list, tuple), json_text),
        }

    def write(self, values: Sequence[Any]) -> list[Any]:
        """Return the values as parameters of SQL. Text, including JSON, stays as it is."""
        # Look up the exact type: a chain of isinstance calls would slow batches down.
        writers = self._writers
        return [value if (w := writers.get(type(value))) is None else w(value) for value in values]


def json_text(value: Any) -> str:
    return to_json(value).decode()


def _sqlite_moment(value: datetime) -> str:
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    # Match Django's format, because texts are compared: a space, and no fraction if it is zero.
    return value.isoformat(" ")[:-6]


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _same(value: Any) -> Any:
    return value


_SQLITE = Dialect(
    uuid=lambda value: value.bytes,
    moment=_sqlite_moment,
    period=lambda value: value // _MICROSECOND,
    read_uuid=lambda value: UUID(bytes=value),
    read_moment=lambda value: value.replace(tzinfo=UTC),
    read_period=lambda value: timedelta(microseconds=value),
)
_POSTGRESQL = Dialect(_same, _utc, _same, _same, _utc, _same)


def dialect() -> Dialect:
    return _SQLITE if connection.vendor == "sqlite" else _POSTGRESQL


# --- reading -----------------------------------------------------------------------------------------------------


def lock(tables: Tables, run_ids: Sequence[UUID]) -> None:
    """Lock these runs until the end of the transaction, in the order of their ids. SQLite locks the whole file anyway.

    A statement of its own: rows from a join would have the values from before the wait for the lock.
    """
    if connection.vendor == "postgresql":
        fetch(f"SELECT id FROM {tables.runs} WHERE id IN ", sorted(run_ids), " ORDER BY id FOR NO KEY UPDATE")


def lock_free(tables: Tables, run_ids: Sequence[UUID], most: int) -> list[UUID]:
    """Lock the first `most` of these runs that are free, and return their ids: the order is that of `run_ids`.

    Skipped are those that another transaction has locked, and those that do not wait to start any more.
    """
    if connection.vendor != "postgresql":
        return list(run_ids[:most])
    with connection.cursor() as cursor:
        # The state is compared by an expression, so that PostgreSQL finds the runs by their ids. Without statistics it
        # would read all that wait.
        cursor.execute(
            "SELECT run.id FROM unnest(%s::uuid[]) WITH ORDINALITY AS wanted (id, place) "
            f"JOIN {tables.runs} AS run ON run.id = wanted.id WHERE run.state_type || '' = 'SCHEDULED' "
            "ORDER BY wanted.place LIMIT %s FOR NO KEY UPDATE OF run SKIP LOCKED",
            [list(run_ids), most],
        )
        return [row[0] for row in cursor.fetchall()]


def fetch(select: str, ids: Sequence[UUID], rest: str = "") -> list[tuple[Any, ...]]:
    """Return the rows of `select … IN (ids) rest`. No query without ids."""
    if not ids:
        return []
    uuid = dialect().uuid
    with connection.cursor() as cursor:
        cursor.execute(f"{select}({_marks(len(ids))}){rest}", [uuid(one) for one in ids])
        return list(cursor.fetchall())


# --- writing: all rows hold values as their database wants them ---------------------------------------------------


def insert_rows(table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert many rows with one statement, whatever their number."""
    if not rows:
        return
    with connection.cursor() as cursor:
        # For one row a prepared statement is faster than COPY; for many, COPY takes a tenth of the time.
        if connection.vendor == "sqlite" or len(rows) == 1:
            cursor.executemany(f"{_insert(table, tuple(columns))} ({_marks(len(columns))})", rows)
            return
        names = ", ".join(columns)
        with connection.wrap_database_errors, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def insert_returning(table: str, columns: Sequence[str], rows: Sequence[Row], rest: str) -> list[tuple[Any, ...]]:
    """Insert the rows with `rest` ("ON CONFLICT … RETURNING …") after their values, and return what it returns."""
    returned: list[tuple[Any, ...]] = []
    at_once = _MOST_VALUES // len(columns)
    with connection.cursor() as cursor:
        for start in range(0, len(rows), at_once):
            chunk = rows[start : start + at_once]
            values = ", ".join([f"({_marks(len(columns))})"] * len(chunk))
            cursor.execute(
                f"{_insert(table, tuple(columns))} {values} {rest}", [value for row in chunk for value in row]
            )
            returned += cursor.fetchall()
    return returned


def update_rows(table: str, columns: tuple[str, ...], rows: Sequence[Row], where: tuple[str, ...]) -> int:
    """Set the columns of many rows, each of which ends with its values for `where`. Return how many rows were found."""
    if not rows:
        return 0
    with connection.cursor() as cursor:
        if len(rows) == 1:
            cursor.execute(_update(table, columns, where), rows[0])
        elif connection.vendor == "sqlite":
            cursor.executemany(_update(table, columns, where), rows)
        else:
            # One statement also calls triggers only once.
            cursor.execute(_update_many(table, columns, where), [list(column) for column in zip(*rows, strict=True)])
        return int(cursor.rowcount)


@lru_cache(maxsize=512)
def _update(table: str, columns: tuple[str, ...], where: tuple[str, ...]) -> str:
    return (
        f"UPDATE {table} SET {', '.join(f'{name} = %s' for name in columns)} "
        f"WHERE {' AND '.join(f'{name} = %s' for name in where)}"
    )


@lru_cache(maxsize=512)
def _update_many(table: str, columns: tuple[str, ...], where: tuple[str, ...]) -> str:
    """Return SQL that does not depend on the number of rows, so that the database plans it once."""
    types = _types(table)
    # A column may be both set and compared.
    given = [(name, f"given_{number}") for number, name in enumerate((*columns, *where))]
    arrays = ", ".join(f"%s::{types[name]}[]" for name, _ in given)
    return (
        f"UPDATE {table} SET {', '.join(f'{name} = {value}' for name, value in given[: len(columns)])} "
        f"FROM unnest({arrays}) AS given ({', '.join(value for _, value in given)}) "
        f"WHERE {' AND '.join(f'{name} = {value}' for name, value in given[len(columns) :])}"
    )


@lru_cache(maxsize=8)
def _types(table: str) -> dict[str, str]:
    """Return the types of a table's columns without their lengths: a cast would truncate values that do not fit."""
    model = next(model for model in apps.get_models() if model._meta.db_table == table)
    columns = ((field.column or "", field.db_type(connection) or "") for field in model._meta.concrete_fields)
    return {name: kind.partition("(")[0] for name, kind in columns}


@lru_cache(maxsize=64)
def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES"


@lru_cache(maxsize=1024)
def _marks(number: int) -> str:
    return ", ".join(["%s"] * number)
