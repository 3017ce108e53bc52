"""Count occurrences of problems.

A failure only inserts its occurrence; this service counts it. Several servers may do so, since each takes other rows.
Where no server runs the service, reading problems counts first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import F, Max

from events.recording.record import record_events
from orchestration.sight import seeing
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.fingerprints import Cause, cause_of_state, is_sum, normalised, words_of
from orionflow.contract.states import StateType
from runs.models import FlowRun, FlowRunState, Occurrence, Problem
from runs.problems.core import RECENT, Change, Failure, Standing, after_failure, with_failures
from runs.problems.services.mending import CHECK_EVERY, close_mended
from runs.problems.services.rows import MUTING, event_of
from runs.why.selectors.guilt import error_in, guilt_of

Status = Problem.Status

# Failures counted in one transaction; on SQLite a transaction holds up every writer.
STEP = 500
STEPS_OF_A_TICK = 20
LONGEST_EXAMPLE = 400
_LIFE = ("status", "since", "failures", "noticed", "version", "resolved_by")


def catch_up(now: datetime) -> None:
    """Count recent failures before problems are read; if no server runs the service, also do the rest of its work."""
    with seeing(None):
        overdue = Problem.objects.exclude(status=Status.RESOLVED).filter(checked_at__lte=now - 4 * CHECK_EVERY)
        if overdue.exists():
            work_on_problems(now)
        else:
            _count_pending(now)


def work_on_problems(now: datetime) -> int:
    """Count new failures, and resolve problems that are fixed. Return the number of failures."""
    with seeing(None):
        counted = _count_pending(now)
        recent = Problem.objects.filter(status__in=[Status.NEW, Status.REGRESSED], since__lt=now - RECENT)
        if recent.exists():
            recent.update(status=Status.ONGOING, since=now, updated=now)
        close_mended(now)
    return counted


def _count_pending(now: datetime) -> int:
    counted = 0
    for _ in range(STEPS_OF_A_TICK):
        if not Occurrence.objects.filter(is_pending=True).exists():
            break
        counted += _count_failures(now)
    return counted


class _Run(NamedTuple):
    """The parent run of an occurrence's run, the version of the run, and the start of its attempt."""

    parent_id: UUID | None
    version: str
    started: datetime | None


@repeated_on_conflict
def _count_failures(now: datetime) -> int:
    with write_transaction():
        pending = Occurrence.objects.select_for_update(skip_locked=True, no_key=True)
        found = list(pending.filter(is_pending=True).order_by("id")[:STEP])
        if not found:
            return 0
        runs = _runs_of(found)
        consequences, too_many = _consequences(found, runs)
        grouped: dict[UUID, list[Occurrence]] = defaultdict(list)
        for one in sorted(found, key=lambda occurrence: (occurrence.seen_at, occurrence.pk)):
            grouped[one.problem_id].append(one)
        events = []
        for problem in _locked_problems(grouped, now):
            own = grouped[problem.pk]
            counted = [one for one in own if one.pk not in consequences]
            changes = _apply(problem, counted, runs, too_many.get(problem.pk, 0), now)
            events += [event_of(problem, change, own[-1], now) for change in changes]
        Occurrence.objects.filter(pk__in=[one.pk for one in found]).update(is_pending=False)
        if consequences:
            Occurrence.objects.filter(pk__in=consequences).update(is_consequence=True)
        record_events(events)
    return len(found)


def _runs_of(found: Sequence[Occurrence]) -> dict[UUID, _Run]:
    ids = {one.run_id for one in found}
    # `start_time` is the start of the first attempt; the last one is needed here.
    attempts = FlowRunState.objects.filter(flow_run__in=ids, type=StateType.RUNNING).order_by()
    began = dict(attempts.values_list("flow_run_id").annotate(last=Max("timestamp")))
    around = F("parent_task_run__flow_run_id")
    rows = FlowRun.objects.filter(pk__in=ids).values_list("pk", around, "deployment_version", "flow_version")
    return {row[0]: _Run(row[1], row[2] or row[3] or "", began.get(row[0])) for row in rows}


def _consequences(found: Sequence[Occurrence], runs: Mapping[UUID, _Run]) -> tuple[set[UUID], dict[UUID, int]]:
    """Return occurrences whose parent run has the same problem, and by problem how many of these were counted already.

    A nested run fails before its parent, and may have been counted by then.
    """
    by_run = {(one.run_id, one.problem_id) for one in found}
    # A nested run fails after its parent has started.
    since = min(runs[one.run_id].started or one.seen_at if one.run_id in runs else one.seen_at for one in found)
    inside = Occurrence.objects.filter(
        problem_id__in={one.problem_id for one in found}, seen_at__gte=since, is_nested=True, is_consequence=False
    )
    rows = inside.annotate(around=F("run__parent_task_run__flow_run_id"))
    consequences, too_many = set(), defaultdict[UUID, int](int)
    for pk, problem_id, around, is_pending in rows.values_list("pk", "problem_id", "around", "is_pending"):
        if (around, problem_id) in by_run:
            consequences.add(pk)
            too_many[problem_id] += not is_pending
    parents = {run.parent_id for run in runs.values() if run.parent_id}
    if parents:
        around_it = Occurrence.objects.filter(run__in=parents).values_list("run_id", "problem_id")
        known = set(around_it)
        for one in found:
            run = runs.get(one.run_id)
            if run and run.parent_id and (run.parent_id, one.problem_id) in known:
                consequences.add(one.pk)
    return consequences, too_many


def _locked_problems(grouped: Mapping[UUID, Sequence[Occurrence]], now: datetime) -> list[Problem]:
    """Return the locked problems of these occurrences, in the order of their ids; create those that do not exist."""
    known = set(Problem.objects.filter(pk__in=grouped).values_list("pk", flat=True))
    causes = _causes({problem_id: own[-1] for problem_id, own in grouped.items()})
    missing = [
        Problem(
            id=problem_id,
            type=cause.type,
            place=cause.place,
            message=normalised(words),
            since=own[0].seen_at,
            first_seen=own[0].seen_at,
            last_seen=own[0].seen_at,
            created=now,
            checked_at=now,
        )
        for problem_id, own in sorted(grouped.items())
        if problem_id not in known
        for cause, words in [causes[problem_id]]
    ]
    # In the order of ids: another server may be creating the same ones.
    Problem.objects.bulk_create(missing, ignore_conflicts=True)
    problems = list(Problem.objects.select_for_update(no_key=True).filter(pk__in=grouped).order_by("pk"))
    for problem in problems:
        problem.example = causes[problem.pk][1] or problem.example
    return problems


def _causes(newest: Mapping[UUID, Occurrence]) -> dict[UUID, tuple[Cause, str]]:
    """Return the causes that these occurrences' states name, and their messages."""
    states = FlowRunState.objects.in_bulk([one.pk for one in newest.values()])
    found: dict[UUID, tuple[Cause, str]] = {}
    elsewhere: dict[UUID, tuple[UUID, str]] = {}
    for problem_id, one in newest.items():
        state = states.get(one.pk)
        details, name, message = (state.details, state.name, state.message or "") if state else ({}, "Failed", "")
        cause = cause_of_state(details.get("cause"), name, message)
        words = words_of(cause.type, name, message)
        found[problem_id] = (cause, error_in(message) if words is None else words)
        if words is None:
            elsewhere[one.run_id] = (problem_id, message)
    # For "2 of 40 runs failed", take the message of the task run that failed.
    guilt = guilt_of({run_id: message for run_id, (_, message) in elsewhere.items()}) if elsewhere else {}
    for run_id, (problem_id, _) in elsewhere.items():
        cause, error = found[problem_id][0], guilt[run_id].error
        words = words_of(cause.type, None, error)
        found[problem_id] = (cause, words if words is not None else "" if is_sum(error) else error)
    return {problem_id: (cause, words[:LONGEST_EXAMPLE]) for problem_id, (cause, words) in found.items()}


def _apply(
    problem: Problem, counted: Sequence[Occurrence], runs: Mapping[UUID, _Run], too_many: int, now: datetime
) -> list[Change]:
    changes = []
    standing = Standing(**{name: getattr(problem, name) for name in (*_LIFE, *MUTING)})
    for one in counted:
        run = runs.get(one.run_id, _Run(None, "", None))
        standing, change = after_failure(standing, Failure(one.seen_at, run.started, run.version))
        changes += [change] if change else []
    for name in (*_LIFE, *MUTING):
        setattr(problem, name, getattr(standing, name))
    problem.failures = max(0, problem.failures - too_many)
    if counted:
        problem.first_seen = min(problem.first_seen, counted[0].seen_at)
        problem.last_seen = max(problem.last_seen, counted[-1].seen_at)
        problem.trend = with_failures(problem.trend, (one.seen_at for one in counted))
    if problem.status != Status.RESOLVED:
        problem.resolution = ""
    columns = ("example", "first_seen", "last_seen", "trend", "resolution", "updated")
    problem.updated = now
    problem.save(update_fields=[*_LIFE, *MUTING, *columns])
    # Report one change per batch, the last one; but a problem that is new is not reported as growing.
    return changes[:1] if changes[:1] == [Change.NEW] else changes[-1:]
