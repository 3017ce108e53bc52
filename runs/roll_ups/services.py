"""Adding to the totals what changed since."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from django.db import connection

from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models.roll_ups import RollUpChange
from runs.roll_ups.sql import CHANGE, IS_NOTHING, added_to_totals

# So many in one transaction, which others wait for on SQLite.
CHANGES_AT_ONCE = 5_000
STEPS = 40
AS_MANY_AS_IT_TAKES = sys.maxsize
# Readers sum up what is not added yet: with so many they would be slow.
MANY = 20_000


def add_up(now: datetime | None = None, *, steps: int = STEPS) -> int:
    """Add what has changed to the totals, a bounded number of changes at a time; how many that were."""
    added = 0
    for _ in range(steps):
        # Asked without a lock first: mostly nothing has changed.
        if not RollUpChange.objects.exists():
            break
        number = _add_some()
        added += number
        if number < CHANGES_AT_ONCE:
            break
    return added


def add_up_if_many() -> int:
    """For programs where no server does it: leave few enough behind that readers do not feel them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT MAX(id) - MIN(id) FROM runs_rollupchange")
        (distance,) = cursor.fetchone()
    return add_up(steps=AS_MANY_AS_IT_TAKES) if (distance or 0) > MANY else 0


@repeated_on_conflict
def _add_some() -> int:
    with write_transaction():
        return add_changes(CHANGES_AT_ONCE)


def add_changes(most: int | None = None) -> int:
    """Inside a transaction; while another one adds, there is nothing to do."""
    limit = "" if most is None else f"LIMIT {most}"
    oldest = f"SELECT id FROM runs_rollupchange ORDER BY id {limit}"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            # Nobody writes beside this transaction.
            cursor.execute(f"SELECT MAX(id), COUNT(*) FROM ({oldest}) oldest")
            last, number = cursor.fetchone()
            if number:
                cursor.execute(added_to_totals(f"(SELECT {CHANGE} FROM runs_rollupchange WHERE id <= {int(last)})"))
                cursor.execute(f"DELETE FROM runs_rollupchange WHERE id <= {int(last)}")
        elif not _alone(cursor):
            return 0
        else:
            # One statement: whoever reads sees each change either here or there.
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


# Any number will do as long as it stays the same.
_ADDING_LOCK = 0x0411
