"""Stored results of the newest runs. Each page reads a fixed number of runs, even if few of them stored something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Value
from django.db.models.functions import Coalesce

from orchestration.large import completed, without_large
from runs.models import FlowRun, FlowRunState, StateRow, TaskRun, TaskRunState
from runs.results.core import Reference, reference_in

LOOKED_AT = 1000
_NEEDED = ("id", "name", "state_id")


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A run's reference to its stored value."""

    run: FlowRun | TaskRun
    stored: datetime | None
    reference: Reference

    @property
    def flow_run_id(self) -> UUID | None:
        return self.run.flow_run_id if isinstance(self.run, TaskRun) else self.run.id


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filter of results; None sets no condition."""

    flow_run_ids: Sequence[UUID] | None = None
    task_run_ids: Sequence[UUID] | None = None
    storage: str | None = None
    expired_before: datetime | None = None

    def fits(self, found: Reference) -> bool:
        if self.storage is not None and found.storage != self.storage:
            return False
        if self.expired_before is None:
            return True
        return found.expiration is not None and found.expiration < self.expired_before


def stored_results(wanted: Wanted, *, before: UUID | None, limit: int) -> tuple[list[StoredResult], UUID | None]:
    """Return results of the newest completed runs, and the id of the run after which the next page starts.

    Four queries.
    """
    runs = _newest(wanted, before)
    states = {
        **_referring(FlowRunState.objects.all(), [run.state_id for run in runs if isinstance(run, FlowRun)]),
        **_referring(TaskRunState.objects.all(), [run.state_id for run in runs if isinstance(run, TaskRun)]),
    }
    found: list[StoredResult] = []
    for run in runs:
        state = states.get(run.state_id)
        reference = None if state is None else reference_in(state.data)
        if state is not None and reference is not None and wanted.fits(reference):
            found.append(StoredResult(run, state.timestamp, reference))
            if len(found) == limit:
                return found, run.id
    return found, runs[-1].id if len(runs) == LOOKED_AT else None


def _referring(states: Any, ids: Sequence[UUID | None]) -> dict[UUID | None, StateRow]:
    """Return those of these states that refer to a stored value; the data of others may be large, and is not read."""
    rows = without_large(states.filter(pk__in=ids, data__type="reference"), "data") if ids else []
    return {row.pk: row for row in completed(list(rows), "data")}


def _newest(wanted: Wanted, before: UUID | None) -> list[FlowRun | TaskRun]:
    found = [run for rows in _asked(wanted) for run in _below(rows, before)]
    return sorted(found, key=lambda run: run.id, reverse=True)[:LOOKED_AT]


def _asked(wanted: Wanted) -> Iterator[Any]:
    if wanted.task_run_ids is None:
        rows = FlowRun.objects.all()
        yield rows if wanted.flow_run_ids is None else rows.filter(pk__in=wanted.flow_run_ids)
    tasks = TaskRun.objects.all()
    if wanted.flow_run_ids is not None:
        tasks = tasks.filter(flow_run__in=wanted.flow_run_ids)
    yield tasks if wanted.task_run_ids is None else tasks.filter(pk__in=wanted.task_run_ids)


def _below(rows: Any, before: UUID | None) -> Any:
    needed = (*_NEEDED, "flow_run_id") if rows.model is TaskRun else _NEEDED
    # Filter by an expression: for the plain column, planners may read all completed runs through its index, and sort
    # them.
    ended = rows.alias(ended=Coalesce("state_type", Value(""))).filter(ended="COMPLETED")
    rows = ended.only(*needed).order_by("-id")
    return (rows if before is None else rows.filter(pk__lt=before))[:LOOKED_AT]
