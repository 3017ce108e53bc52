"""Resolve problems when later runs show that they are fixed."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Max, Q

from events.recording.record import record_events
from orchestration.one_by_one import FirstError
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.states import StateType
from runs.models import Flow, FlowRun, Occurrence, Problem
from runs.naming import listed
from runs.problems.core import PASSES, Change
from runs.problems.services.rows import MUTING, event_of, locked_problem, save_problem, unmute

Status = Problem.Status

# How often a problem is checked, and how many are checked in one tick.
CHECK_EVERY, CHECKED = timedelta(seconds=15), 20
# A problem with more flows and deployments than this is not resolved automatically.
MOST_PLACES = 50
# Characters; names of flows and runs may be longer than the column.
LONGEST_RESOLUTION = 400


def close_mended(now: datetime) -> None:
    """Resolve problems that are fixed. An error with one is raised after the others had their turn."""
    first = FirstError()
    open_ones = Problem.objects.exclude(status=Status.RESOLVED).filter(checked_at__lte=now - CHECK_EVERY)
    for problem in list(open_ones.order_by("checked_at")[:CHECKED]):
        with first.of_one(f"Problem {problem.pk}"):
            _check(problem, now)
    first.raise_any()


def _check(problem: Problem, now: datetime) -> None:
    # First: after an error, it would otherwise be checked again before all others.
    Problem.objects.filter(pk=problem.pk).update(checked_at=now)
    if resolution := _proof_of_mending(problem.pk):
        resolve(problem.pk, resolution, "", now, last_seen=problem.last_seen)


def _proof_of_mending(problem_id: UUID) -> str:
    """Return a sentence that says why the problem is fixed; empty if that is not certain.

    For each flow and deployment with failures, either all of its failed runs must have completed when they ran again,
    or enough runs that were due after its last failure.
    """
    own = Occurrence.objects.filter(problem_id=problem_id)
    newest = own.order_by("-seen_at", "-id").select_related("run").first()
    if newest is None or newest.is_pending:
        return ""
    has_passed = Q(run__state_type=StateType.COMPLETED)
    # Usually the newest failed run has not passed, so nothing else needs to be read.
    if newest.run.state_type != StateType.COMPLETED and not _passes(
        newest.flow_id, newest.deployment_id, newest.seen_at
    ):
        return ""
    left = own.exclude(has_passed).order_by().values_list("flow_id", "deployment_id").annotate(last=Max("seen_at"))
    places = list(left[: MOST_PLACES + 1])
    if len(places) > MOST_PLACES:
        return ""
    names = []
    for flow_id, deployment_id, last in places:
        passed = _passes(flow_id, deployment_id, last)
        if not passed:
            return ""
        names += passed[:1]
    if not places:
        return "All of its runs completed when they were run again."
    flows = Flow.objects.filter(pk__in={flow_id for flow_id, _, _ in places}).order_by("name")
    return f"{PASSES} later runs of {listed(list(flows.values_list('name', flat=True)))} completed, such as {names[0]}."


def _passes(flow_id: UUID | None, deployment_id: UUID | None, after: datetime) -> list[str]:
    """Return the names of runs that were due after this and completed; an empty list if they are too few."""
    runs = FlowRun.objects.filter(state_type=StateType.COMPLETED.value, expected_start_time__gt=after)
    runs = runs.filter(deployment_id=deployment_id) if deployment_id else runs.filter(flow=flow_id, deployment_id=None)
    names = list(runs.order_by("-expected_start_time").values_list("name", flat=True)[:PASSES])
    return names if len(names) == PASSES else []


@repeated_on_conflict
def resolve(problem_id: UUID, resolution: str, by: str, now: datetime, last_seen: datetime | None = None) -> Problem:
    with write_transaction():
        problem = locked_problem(problem_id)
        # It failed again in between, or has been resolved.
        if problem.status == Status.RESOLVED or (last_seen and problem.last_seen > last_seen):
            return problem
        unmute(problem)
        problem.status, problem.since, problem.resolved_by = Status.RESOLVED, now, by
        problem.resolution = resolution[:LONGEST_RESOLUTION]
        save_problem(problem, now, "resolution", "resolved_by", *MUTING)
        newest = Occurrence.objects.filter(problem_id=problem_id).order_by("-seen_at").first()
        record_events([event_of(problem, Change.RESOLVED, newest, now)])
    return problem
