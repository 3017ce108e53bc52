"""I13: the roll-ups say what counting the runs says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

from deployments.upkeep.selectors.invariants.laws import Violation
from runs.roll_ups.sql import differences


def wrong_roll_ups() -> Iterator[Violation]:
    if connection.vendor == "postgresql":
        # Counting millions of runs takes longer than a request may.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            rows = _differences(cursor)
    else:
        with connection.cursor() as cursor:
            rows = _differences(cursor)
    for subject, _, bucket, state_type, state_name, runs, run_time, lateness, *_ in rows:
        where = f"{state_name or state_type or 'no state'} in {bucket or 'no time'}"
        beyond = f"{int(runs):+} runs, {int(run_time):+} µs of run time and {int(lateness):+} µs of lateness"
        yield Violation("I13", f"roll-up {subject}", f"differs from the runs themselves for {where}: by {beyond}")


def _differences(cursor: Any) -> list[Any]:
    cursor.execute(differences())
    return list(cursor.fetchall())
