"""The content of a flow run's exported file, in a constant number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Left, Length

from runs.models import FlowRun, Log, TaskRun
from runs.pages.axis import Axis
from runs.pages.selectors.cohorts import Cohort, Row, cohorts_of
from runs.pages.selectors.run import (
    Failure,
    History,
    Origin,
    Why,
    failure_of,
    flow_run_facts,
    flow_run_history,
    origin_of,
    read_states,
    reasons_of_tasks,
    why_flow_run,
)
from runs.pages.selectors.timeline import Timeline, timeline_of
from runs.pages.timeline import axis_of_timeline

# Limits that keep the file of a run of a thousand tasks below 2 MB.
MOST_TASKS = 2_000
MOST_LINES = 4_000
LOG_CHARACTERS = 600_000
LONGEST_LINE = 2_000


@dataclass(frozen=True, slots=True)
class LogLines:
    """The lines of the log that fit: the oldest ones, then a gap, then the last ones."""

    first: Sequence[dict[str, Any]]
    last: Sequence[dict[str, Any]]
    left_out: bool


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """A flow run as its file shows it."""

    run: FlowRun
    origin: Origin
    why: Why
    failure: Failure | None
    history: History
    timeline: Timeline
    axis: Axis
    cohorts: Mapping[Row, Sequence[Cohort]]
    tasks: Sequence[TaskRun]
    more_tasks: bool
    reasons: dict[str, str]
    log: LogLines


def exported_run(*, run_id: UUID, now: datetime) -> ExportedRun | None:
    run = flow_run_facts(run_id=run_id)
    if run is None:
        return None
    why = why_flow_run(run=run, state=read_states(run)[0], now=now)
    tasks = list(TaskRun.objects.filter(flow_run=run.id).defer("task_inputs").order_by("id")[: MOST_TASKS + 1])
    shown = tasks[:MOST_TASKS]
    timeline = timeline_of(run=run, now=now)
    axis = axis_of_timeline(timeline)
    return ExportedRun(
        run=run,
        origin=origin_of(run),
        why=why,
        failure=failure_of(run=run, message=why.message, now=now),
        history=flow_run_history(run_id=run.id, states=run.seq),
        timeline=timeline,
        axis=axis,
        cohorts=cohorts_of(run_id=run.id, lines=timeline.lines, edges=axis.edges(), now=now),
        tasks=shown,
        more_tasks=len(tasks) > MOST_TASKS,
        reasons=reasons_of_tasks(shown),
        log=_log(run.id),
    )


def _log(run_id: UUID) -> LogLines:
    name = TaskRun.objects.filter(pk=OuterRef("task_run_id")).values("name")[:1]
    lines: QuerySet[Any, Any] = (
        Log.objects.filter(flow_run_id=run_id)
        .annotate(text=Left("message", LONGEST_LINE), length=Length("message"), task=Subquery(name))
        .values("id", "timestamp", "level", "text", "length", "task")
    )
    first = list(lines.order_by("timestamp", "id")[: MOST_LINES + 1])
    kept = _fitting(first[:MOST_LINES], LOG_CHARACTERS)
    if len(kept) == len(first):
        return LogLines(kept, [], left_out=False)
    # The last lines are what most readers look for.
    half = _fitting(kept, LOG_CHARACTERS // 2)[: MOST_LINES // 2]
    last = _fitting(list(lines.order_by("-timestamp", "-id")[: MOST_LINES // 2]), LOG_CHARACTERS // 2)
    seen = {line["id"] for line in half}
    return LogLines(half, [line for line in reversed(last) if line["id"] not in seen], left_out=True)


def _fitting(lines: list[dict[str, Any]], characters: int) -> list[dict[str, Any]]:
    """Return the first lines that fit into this number of characters, with some for the markup of each."""
    for number, line in enumerate(lines):
        characters -= len(line["text"]) + 20
        if characters < 0:
            return lines[:number]
    return lines
