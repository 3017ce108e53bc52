"""The runs of some flows and deployments since a moment each, or the last ones of each: all in one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from django.db import connection

from orchestration.tables import dialect
from runs.models import FlowRun
from runs.pages.selectors.keyset import place_of
from runs.pages.selectors.reach import BY

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bound:
    """The runs of one flow or deployment expected at `since` or later; without a time, all of them."""

    column: Literal["flow_id", "deployment_id"]
    whose: UUID
    since: datetime | None


# Each bound is a range of an index. Without these hints PostgreSQL would scan the table, as it expects many rows.
_WITHIN = {
    "sqlite": "CROSS JOIN runs_flowrun r WHERE {}",
    "postgresql": "CROSS JOIN LATERAL (SELECT * FROM runs_flowrun r WHERE {} OFFSET 0) r",
}


@dataclass(frozen=True, slots=True)
class LastOf:
    """The last runs of one flow or deployment."""

    column: Literal["flow_id", "deployment_id"]
    whose: UUID
    number: int


def come_within(bounds: Sequence[Bound], now: datetime, *columns: str, last_of: Sequence[LastOf] = ()) -> list[FlowRun]:
    """Return the runs up to now that lie in one of the bounds, or are the last ones, oldest first. One query."""
    if not bounds and not last_of:
        return []
    db = dialect()
    parts: list[str] = []
    values: list[Any] = []
    for column in dict.fromkeys(bound.column for bound in bounds):
        chosen = [bound for bound in bounds if bound.column == column]
        is_within = (
            f"r.{column} = b.whose AND r.{BY} >= b.since "
            f"AND (r.state_type IS NULL OR r.state_type <> 'SCHEDULED' OR r.{BY} <= %s)"
        )
        marks = ", ".join(["(%s, %s)"] * len(chosen))
        parts.append(
            f"SELECT {', '.join(f'r.{name}' for name in columns)} FROM (SELECT column1 AS whose, column2 AS since "
            f"FROM (VALUES {marks}) given) b {_WITHIN[connection.vendor].format(is_within)}"
        )
        for bound in chosen:
            values += [db.uuid(bound.whose), db.moment(bound.since or LONG_AGO)]
        values.append(db.moment(now))
    for last in last_of:
        parts.append(
            f"SELECT {', '.join(f'r.{name}' for name in columns)} FROM runs_flowrun r WHERE r.id IN "
            f"(SELECT id FROM runs_flowrun WHERE {last.column} = %s AND {BY} <= %s ORDER BY {BY} DESC LIMIT %s)"
        )
        values += [db.uuid(last.whose), db.moment(now), last.number]
    found = {run.pk: run for run in FlowRun.objects.raw(" UNION ALL ".join(parts), values)}
    return sorted(found.values(), key=lambda run: place_of(run, BY))
