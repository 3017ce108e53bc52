"""Tables of PostgreSQL partitioned by day, so that old rows are dropped instead of deleted (decision 0057).

Rows are assigned by their ids, which begin with their creation time. Together the partitions cover all ids:

    past     before the first day: rows that existed when the table was divided; deleted row by row
    kept…    rows of dropped days that must stay
    pYYYYMMDD    one day each, some created ahead
    ahead    after the last day: nearly empty, because days are created in time
    foreign  ids that are not of version 7, made by other clients: deleted row by row

There is no default partition, because it would have to be scanned whenever a day is created. A table that was not
divided works as before, and so does SQLite.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Model, Q

from events.models import Event
from orchestration.transactions import write_transaction
from orionflow.contract.ids import first_id_at
from runs.models import Log

logger = logging.getLogger("orion.partitions")

DAY = timedelta(days=1)
DAYS_AHEAD = 4
# Ids of version 7 are below this until the year 2109. One in sixty random ids is, too, and is stored among them.
FOREIGN = UUID(int=0x0400 << 112)
# The most rows of a dropped day that are kept: everything waits while they are copied. A day with more is deleted row
# by row.
MOST_KEPT = 50_000
LOCK_TIMEOUT = "1s"
# Bytes. The rows of a partition up to this size are counted when it is dropped; for a larger one the planner's estimate
# is used.
COUNTED_BYTES = 16 * 1024 * 1024
_LOCK = 0x0A07
# Tables without foreign keys to their rows, in which nothing except the id is unique.
DIVISIBLE: Mapping[str, type[Model]] = {"runs_log": Log, "events_event": Event}


class CannotDivide(ValueError):
    """A table cannot be divided. The message says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """A partition: its name, and the range of its ids (None: unbounded)."""

    name: str
    begin: UUID | None
    end: UUID | None
    rows: float = -1.0
    size: int = 0

    @property
    def is_day(self) -> bool:
        return re.search(r"_p\d{8}$", self.name) is not None

    @property
    def ids(self) -> Q:
        """Return the condition for its rows."""
        at_least = Q() if self.begin is None else Q(pk__gte=self.begin)
        return at_least if self.end is None else at_least & Q(pk__lt=self.end)


@dataclass(frozen=True, slots=True)
class Divided:
    """A table that was divided, and how many rows with ids beyond today were moved."""

    table: str
    rows: int
    moved: int
    seconds: float = 0.0


# --- what there is -------------------------------------------------------------------------------------------------


def is_divided(table: str) -> bool:
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        return _kind(cursor, table) == "p"


def parts_of(table: str) -> list[Part]:
    """Return the partitions ordered by id; an empty list for a table that is not divided."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), c.reltuples, pg_total_relation_size(c.oid) "
            "FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = to_regclass(%s)",
            [table],
        )
        found = [Part(name, *_bounds(bound), rows, size) for name, bound, rows, size in cursor.fetchall()]
    return sorted(found, key=lambda part: part.begin or UUID(int=0))


def _bounds(expression: str) -> tuple[UUID | None, UUID | None]:
    values = re.findall(r"'([0-9a-f-]{36})'|(MINVALUE|MAXVALUE)", expression)
    begin, end = (UUID(id) if id else None for id, _ in values)
    return begin, end


def _kind(cursor: CursorWrapper, table: str) -> str | None:
    cursor.execute("SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", [table])
    row = cursor.fetchone()
    return row and str(row[0])


def row_by_row(table: str, crowded: Sequence[Part] = ()) -> Q:
    """Return the condition for rows that are not dropped with a day: in undivided tables and on crowded days."""
    parts = parts_of(table)
    if not parts:
        return Q()
    found = Q(pk__in=())
    for part in parts:
        if not part.is_day or part in crowded:
            found |= part.ids
    return found


# --- dividing a table ----------------------------------------------------------------------------------------------


def undivided() -> list[str]:
    return [table for table in DIVISIBLE if not is_divided(table)]


def estimated_rows(table: str) -> int:
    """Return the planner's estimate of the number of rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT GREATEST(reltuples, 0) FROM pg_class WHERE oid = to_regclass(%s)", [table])
        return int(cursor.fetchone()[0])


def divide(table: str, *, now: datetime) -> Divided:
    """Partition the table in one transaction. Its rows stay where they are, as the partition `past`.

    Readers and writers wait meanwhile: for as long as PostgreSQL scans the table once to check the ids.
    """
    began = datetime.now(UTC)
    first = _day(now) + DAY
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        if _kind(cursor, table) != "r":
            raise CannotDivide(f"{table} is divided already, or not there.")
        _refuse_dependents(cursor, table)
        indexes = _indexes(cursor, table)
        past = f"{table}_past"
        _put_aside(cursor, table, past)
        cursor.execute(f"CREATE TABLE {table} (LIKE {past} INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE (id)")
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY (id)")
        for definition in indexes:
            cursor.execute(definition)
        _make(cursor, table, f"{table}_foreign", FOREIGN, None)
        last = first
        while last < first + DAYS_AHEAD * DAY:
            _make_day(cursor, table, last)
            last += DAY
        _make(cursor, table, f"{table}_ahead", first_id_at(last), FOREIGN)
        moved = _move(cursor, past, table, first_id_at(first), None)
        _attach(cursor, table, past, None, first_id_at(first))
    _analyse(table)
    return Divided(table, estimated_rows(past), moved, (datetime.now(UTC) - began).total_seconds())


def _refuse_dependents(cursor: CursorWrapper, table: str) -> None:
    cursor.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'f' AND to_regclass(%s) IN (conrelid, confrelid) "
        "UNION SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal "
        "UNION SELECT indexrelid::regclass::text FROM pg_index "
        "WHERE indrelid = to_regclass(%s) AND indisunique AND NOT indisprimary",
        [table] * 3,
    )
    if found := [name for (name,) in cursor.fetchall()]:
        raise CannotDivide(
            f"{table} cannot be divided because of its foreign keys, triggers or unique indexes: {', '.join(found)}."
        )


def _indexes(cursor: CursorWrapper, table: str) -> list[str]:
    cursor.execute(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass(%s) AND NOT indisprimary",
        [table],
    )
    return [definition for (definition,) in cursor.fetchall()]


def _put_aside(cursor: CursorWrapper, table: str, name: str) -> None:
    """Rename the table and its indexes, so that the partitioned table gets the names that models expect."""
    cursor.execute(
        "SELECT c.relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = to_regclass(%s)", [table]
    )
    for (index,) in cursor.fetchall():
        cursor.execute(f"ALTER INDEX {_quoted(index)} RENAME TO {_quoted(index[:57] + '_past')}")
    cursor.execute(f"ALTER TABLE {table} RENAME TO {name}")


def _make(cursor: CursorWrapper, table: str, name: str, begin: UUID | None, end: UUID | None) -> None:
    cursor.execute(f"CREATE TABLE {name} PARTITION OF {table} {_values(begin, end)}")


def _make_day(cursor: CursorWrapper, table: str, day: datetime) -> None:
    _make(cursor, table, f"{table}_p{day:%Y%m%d}", first_id_at(day), first_id_at(day + DAY))


def _attach(cursor: CursorWrapper, table: str, name: str, begin: UUID | None, end: UUID | None) -> None:
    cursor.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} {_values(begin, end)}")


def _values(begin: UUID | None, end: UUID | None) -> str:
    least = "MINVALUE" if begin is None else f"'{begin}'"
    most = "MAXVALUE" if end is None else f"'{end}'"
    return f"FOR VALUES FROM ({least}) TO ({most})"


def _move(cursor: CursorWrapper, source: str, target: str, begin: UUID, end: UUID | None) -> int:
    below = "" if end is None else f" AND id < '{end}'"
    cursor.execute(
        f"WITH moved AS (DELETE FROM {source} WHERE id >= '{begin}'{below} RETURNING *) "
        f"INSERT INTO {target} SELECT * FROM moved"
    )
    return int(cursor.rowcount)


def _analyse(table: str) -> None:
    """Update the statistics: autovacuum analyses partitions, but not the parent table that queries are planned for."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _quoted(name: str) -> str:
    return str(connection.ops.quote_name(name))


# --- days ahead ----------------------------------------------------------------------------------------------------


def make_days_ahead(now: datetime) -> int:
    """Create the partitions of the coming days, and return their number."""
    return sum(_make_days(table, now) for table in DIVISIBLE if is_divided(table))


def _make_days(table: str, now: datetime) -> int:
    wanted = _day(now) + DAYS_AHEAD * DAY
    ahead = _part(table, "ahead")
    if ahead is None or ahead.begin is None or ahead.begin > first_id_at(wanted):
        return 0
    made = 0
    with _exclusive_cursor(table) as cursor:
        ahead = _part(table, "ahead") if cursor is not None else None
        if cursor is None or ahead is None or ahead.begin is None:
            return 0
        cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {ahead.name}")
        day = datetime.fromtimestamp((ahead.begin.int >> 80) / 1000, UTC)
        while day <= wanted:
            _make_day(cursor, table, day)
            day, made = day + DAY, made + 1
        if ahead.begin < first_id_at(day):
            # These rows were written by clocks that are ahead, or while no server created days.
            _move(cursor, ahead.name, table, ahead.begin, first_id_at(day))
        _attach(cursor, table, ahead.name, first_id_at(day), ahead.end)
    if made:
        _analyse(table)
    return made


def _part(table: str, name: str) -> Part | None:
    return next((part for part in parts_of(table) if part.name == f"{table}_{name}"), None)


@contextmanager
def _exclusive_cursor(table: str) -> Iterator[CursorWrapper | None]:
    """Lock the table in a transaction; yield None if another server does, or readers do not release it in time."""
    try:
        with write_transaction(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
            if not cursor.fetchone()[0]:
                yield None
                return
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield cursor
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != "55P03":
            raise
        logger.info("%s is in use; its partitions are looked after at the next tick.", table)


# --- dropping ------------------------------------------------------------------------------------------------------


def old_days(table: str, *, before: datetime) -> list[Part]:
    """Return the days all of whose rows were made before then, oldest first."""
    limit = first_id_at(before)
    return [part for part in parts_of(table) if part.is_day and part.end is not None and part.end <= limit]


def is_crowded(part: Part, keep: str, params: Sequence[Any]) -> bool:
    """Whether too many of its rows must be kept to drop it."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM ({keep.format(part=part.name)}) ids LIMIT {MOST_KEPT + 1}) kept",
            params,
        )
        return int(cursor.fetchone()[0]) > MOST_KEPT


def drop(table: str, part: Part, *, keep: str, params: Sequence[Any]) -> int | None:
    """Drop a day after moving the rows that must be kept. Return about how many rows were dropped; None: not now.

    `keep` selects the ids of these rows from `{part}`.
    """
    with _exclusive_cursor(table) as cursor:
        if cursor is None or part.name not in {one.name for one in parts_of(table)}:
            return None
        rows = _number_of_rows(cursor, part)
        # Detach first, so that only one day is searched for rows to keep, and no rows are added meanwhile.
        cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {part.name}")
        kept = _detached_for_kept_rows(cursor, table, part)
        kept_ids = keep.format(part=part.name)
        cursor.execute(f"INSERT INTO {kept.name} SELECT * FROM {part.name} WHERE id IN ({kept_ids})", params)
        moved = int(cursor.rowcount)
        _attach(cursor, table, kept.name, kept.begin, part.end)
        cursor.execute(f"DROP TABLE {part.name}")
        logger.info("Dropped %s with about %s rows and %s bytes; %s rows stay.", part.name, rows, part.size, moved)
        return max(0, rows - moved)
    # `_exclusive_cursor` ended the block, because the table is in use.
    return None


def _number_of_rows(cursor: CursorWrapper, part: Part) -> int:
    # A partition is estimated as empty from its creation until it is analysed, so an estimate of 0 is not used.
    if part.size > COUNTED_BYTES and part.rows > 0:
        return int(part.rows)
    cursor.execute(f"SELECT count(*) FROM {part.name}")
    return int(cursor.fetchone()[0])


def _detached_for_kept_rows(cursor: CursorWrapper, table: str, part: Part) -> Part:
    """Detach the partition for kept rows before this day, or create one, so that the day's rows are added to it."""
    for found in parts_of(table):
        if found.name.startswith(f"{table}_kept") and found.end == part.begin:
            cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {found.name}")
            return found
    name = f"{table}_kept{part.name[-8:]}"
    cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    return Part(name, part.begin, part.begin)
