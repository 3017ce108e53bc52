"""Add recorded changes to the totals of the roll-ups."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from django.db import connection

from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models.roll_ups import RollUpChange
from runs.roll_ups.sql import CHANGE, IS_NOTHING, added_to_totals

# The most changes in one transaction; on SQLite it holds up other writers.
CHANGES_AT_ONCE = 5_000
STEPS = 40
AS_MANY_AS_IT_TAKES = sys.maxsize
# Readers sum up the changes that are not added yet; with more than this, that is slow.
MANY = 20_000


def add_up(now: datetime | None = None, *, steps: int = STEPS) -> int:
    """Add changes to the totals, a limited number at a time. Return their number."""
    added = 0
    for _ in range(steps):
        # Check without a lock first: usually there are no changes.
        if not RollUpChange.objects.exists():
            break
        number = _add_some()
        added += number
        if number < CHANGES_AT_ONCE:
            break
    return added


def add_up_if_many() -> int:
    """Add changes in programs without a server, if there are so many that reading becomes slow. Return their number."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT MAX(id) - MIN(id) FROM runs_rollupchange")
        (distance,) = cursor.fetchone()
    return add_up(steps=AS_MANY_AS_IT_TAKES) if (distance or 0) > MANY else 0


@repeated_on_conflict
def _add_some() -> int:
    with write_transaction():
        return add_changes(CHANGES_AT_ONCE)


def add_changes(most: int | None = None) -> int:
    """Add changes to the totals, in the caller's transaction. If another transaction does so already, do nothing."""
    limit = "" if most is None else f"LIMIT {most}"
    oldest = f"SELECT id FROM runs_rollupchange ORDER BY id {limit}"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            # SQLite has one writer at a time.
            cursor.execute(f"SELECT MAX(id), COUNT(*) FROM ({oldest}) oldest")
            last, number = cursor.fetchone()
            if number:
                cursor.execute(added_to_totals(f"(SELECT {CHANGE} FROM runs_rollupchange WHERE id <= {int(last)})"))
                cursor.execute(f"DELETE FROM runs_rollupchange WHERE id <= {int(last)}")
        elif not _alone(cursor):
            return 0
        else:
            # One statement, so that readers see each change either in the changes or in the totals.
            cursor.execute(
                f"WITH taken AS MATERIALIZED (DELETE FROM runs_rollupchange WHERE id IN ({oldest}) "
                f"RETURNING {CHANGE}), added AS ({added_to_totals('taken')} RETURNING 1) "
                "SELECT COUNT(*) FROM taken"
            )
            (number,) = cursor.fetchone()
        if number:
            cursor.execute(f"DELETE FROM runs_rollup WHERE {IS_NOTHING}")
    return int(number)


def _alone(cursor: Any) -> bool:
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_ADDING_LOCK])
    return bool(cursor.fetchone()[0])


# An arbitrary number, which must not change.
_ADDING_LOCK = 0x0411
