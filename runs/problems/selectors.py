"""Problems for pages, the API and commands: their runs, flows and versions, and the problem of a run.

Runs of a problem are counted by occurrences, up to a cap, so that each number matches the list behind it, also for
users who see only some runs. Flows and versions come from a limited number of newest failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, IntegerField, OuterRef, Q, QuerySet, Subquery, UUIDField
from django.db.models.expressions import RawSQL

from deployments.dispatch.selectors.liveness import online
from deployments.models import Worker
from orchestration.reading import reader
from orchestration.sight import sees_in_part
from orchestration.tables import dialect
from orionflow.contract.states import BAD, HOLDING, in_order
from runs.models import Flow, FlowRun, FlowRunState, Occurrence, Problem
from runs.why.selectors.waiting import WaitingGroup, scheduled_runs, waiting_groups

# Counting stops here; an exact larger number is not worth its cost.
MOST_COUNTED = 10_000
# The number of newest failures from which flows and versions of a problem are read.
SAMPLED = 200
# The page of a run counts at most this many other runs.
MOST_OTHERS = 1_000
UNKNOWN = object()

Status = Problem.Status
FAILED_TYPES = in_order(BAD)
# The statuses that need attention.
OPEN = (Status.NEW, Status.REGRESSED, Status.ONGOING)


@dataclass(slots=True)
class Extent:
    """The extent of a problem: its runs, those that are still failed by it, their flows and versions by frequency."""

    runs: int = 0
    failed: int = 0
    flows: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def is_cut(self) -> bool:
        return self.runs >= MOST_COUNTED


def extents_of(problem_ids: Sequence[UUID], *, cap: int = MOST_COUNTED) -> dict[UUID, Extent]:
    """Return the extent of each of these problems. Three queries."""
    found = {one: Extent() for one in problem_ids}
    if not found:
        return found
    for problem_id, (runs, failed) in zip(problem_ids, _counts(problem_ids, cap), strict=True):
        found[problem_id].runs, found[problem_id].failed = runs, failed
    rows = _sampled(problem_ids)
    names = dict(Flow.objects.filter(pk__in={row[1] for row in rows if row[1]}).values_list("pk", "name"))
    for problem_id, flow_id, version, number in rows:
        extent = found[problem_id]
        if flow_id in names:
            extent.flows[names[flow_id]] = extent.flows.get(names[flow_id], 0) + number
        if version:
            extent.versions[version] = extent.versions.get(version, 0) + number
    for extent in found.values():
        extent.flows = dict(Counter(extent.flows).most_common())
        extent.versions = dict(Counter(extent.versions).most_common())
    return found


def _counts(problem_ids: Sequence[UUID], cap: int) -> list[tuple[int, int]]:
    db, parts, values = dialect(), [], list[Any]()
    bad = ", ".join(f"'{one}'" for one in FAILED_TYPES)
    for problem_id in problem_ids:
        of_it = (
            "FROM runs_occurrence o JOIN runs_flowrun r ON r.id = o.run_id "
            "WHERE o.problem_id = %s AND NOT o.is_consequence"
        )
        # An occurrence has the id of a failed state: if that is the current one, the run is still failed by it.
        for state in ("", f" AND r.state_type IN ({bad}) AND r.state_id = o.id"):
            parts.append(f"(SELECT COUNT(*) FROM (SELECT DISTINCT o.run_id {of_it}{state} LIMIT {cap}) counted)")
            values.append(db.uuid(problem_id))
    with reader().cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", values)
        row = cursor.fetchone()
    return [(row[number], row[number + 1]) for number in range(0, len(row), 2)]


def _sampled(problem_ids: Sequence[UUID]) -> list[tuple[UUID, UUID | None, str, int]]:
    """Return the newest failures of each problem, counted by flow and version."""
    db = dialect()
    newest = (
        "SELECT * FROM (SELECT problem_id, flow_id, run_id FROM runs_occurrence WHERE problem_id = %s "
        f"AND NOT is_consequence ORDER BY seen_at DESC, id DESC LIMIT {SAMPLED}) newest"
    )
    with reader().cursor() as cursor:
        cursor.execute(
            "SELECT o.problem_id, o.flow_id, COALESCE(r.deployment_version, r.flow_version, ''), COUNT(*) "
            f"FROM ({' UNION ALL '.join([newest] * len(problem_ids))}) o JOIN runs_flowrun r ON r.id = o.run_id "
            "GROUP BY 1, 2, 3 ORDER BY 4 DESC",
            [db.uuid(one) for one in problem_ids],
        )
        rows = cursor.fetchall()
    read = db.read_uuid
    return [(read(row[0]), None if row[1] is None else read(row[1]), row[2], row[3]) for row in rows]


def problems_in(statuses: Sequence[str] = ()) -> QuerySet[Problem]:
    """Return problems with these statuses, those that failed last first, each with the id of its newest run."""
    own = Occurrence.objects.filter(problem_id=OuterRef("pk"), is_consequence=False).order_by("-seen_at", "-id")
    newest = Subquery(own.values("run_id")[:1], output_field=UUIDField())
    found = Problem.objects.annotate(newest_run_id=newest).order_by("-last_seen", "-id")
    return found.filter(status__in=statuses) if statuses else found


def failed_by(problem_id: UUID) -> Q:
    """Return the condition for flow runs that failed by this problem in any attempt."""
    own = Occurrence.objects.filter(problem_id=problem_id, is_consequence=False).order_by()
    return Q(pk__in=own.values("run_id"))


def is_failed_by(problem_id: UUID) -> Exists:
    """Return the condition for flow runs whose current failure is this problem."""
    return Exists(Occurrence.objects.filter(pk=OuterRef("state_id"), problem_id=problem_id, is_consequence=False))


def runs_failed_by(problem_id: UUID, *, most: int = MOST_COUNTED) -> list[UUID]:
    """Return the ids of these runs, by their newest failures.

    As a list rather than a subquery, so that planners know how few they are and do not scan all runs of a state.
    """
    own = Occurrence.objects.filter(problem_id=problem_id, is_consequence=False).order_by("-seen_at", "-id")
    return list(dict.fromkeys(own.values_list("run_id", flat=True)[:most]))


def failed_now(problem_id: UUID) -> QuerySet[FlowRun]:
    """Return flow runs whose current failure is this problem, newest first: those that a retry concerns."""
    own = Occurrence.objects.filter(problem_id=problem_id, is_consequence=False)
    runs = FlowRun.objects.filter(pk__in=runs_failed_by(problem_id), state_type__in=FAILED_TYPES)
    return runs.filter(state_id__in=own.values("pk")).order_by("-expected_start_time", "-id")


@dataclass(frozen=True, slots=True)
class ProblemOfRun:
    """The problem by which a flow run is failed, and the number of other runs that failed by it."""

    problem: Problem
    others: int
    is_cut: bool


# The problem by which a flow run is failed now, as an annotation of its row.
PROBLEM_ID = Subquery(Occurrence.objects.filter(pk=OuterRef("state_id")).values("problem_id")[:1])


def problem_of(run: FlowRun) -> ProblemOfRun | None:
    """Return the problem by which the run is failed now; None if there is none, or it has not been counted yet.

    One query; none for a run that was read with `problem_id=PROBLEM_ID` and has no problem.
    """
    if run.state_type not in FAILED_TYPES or run.state_id is None:
        return None
    problem_id = vars(run).get("problem_id", UNKNOWN)
    if problem_id is UNKNOWN:
        problem_id = Occurrence.objects.filter(pk=run.state_id).values_list("problem_id", flat=True).first()
    if problem_id is None:
        return None
    counted = (
        "(SELECT COUNT(*) FROM (SELECT DISTINCT run_id FROM runs_occurrence "
        f"WHERE problem_id = %s AND NOT is_consequence LIMIT {MOST_OTHERS + 2}) counted)"
    )
    number = RawSQL(counted, [dialect().uuid(problem_id)], output_field=IntegerField())  # noqa: S611 (our own table)
    problem = Problem.objects.annotate(number=number).filter(pk=problem_id).first()
    if problem is None:
        return None
    # The count includes the run itself, unless it is a consequence.
    others = max(0, problem.number - 1)
    return ProblemOfRun(as_seen(problem), min(others, MOST_OTHERS), others > MOST_OTHERS)


def newest_runs(problem_id: UUID, *, most: int) -> list[FlowRun]:
    """Return the last runs that failed by a problem, each once, with their flows."""
    own = Occurrence.objects.filter(problem_id=problem_id, is_consequence=False).order_by("-seen_at", "-id")
    # More rows than runs are wanted, because a run may have failed by it several times.
    ids = list(dict.fromkeys(own.values_list("run_id", flat=True)[: most * 4]))[:most]
    runs = FlowRun.objects.select_related("flow").defer("parameters", "context", "job_variables").in_bulk(ids)
    return [runs[one] for one in ids if one in runs]


def newest_message(problem_id: UUID) -> str:
    """Return the full message of the newest failed state of a problem."""
    newest = Occurrence.objects.filter(problem_id=problem_id).order_by("-seen_at", "-id").values("pk")[:1]
    return FlowRunState.objects.filter(pk=Subquery(newest)).values_list("message", flat=True).first() or ""


def as_seen(problem: Problem) -> Problem:
    """Remove texts of other runs if the user sees only some runs; all runs of a problem share the rest."""
    if sees_in_part():
        problem.example, problem.version = problem.message, ""
        problem.resolution = "Resolved." if problem.status == Status.RESOLVED else ""
    return problem


def trend_of(problem: Problem) -> dict[str, int]:
    """Return failures by hour; none if the user sees only some runs, because they are counted over all runs."""
    return {} if sees_in_part() else dict(problem.trend)


def waiting_now(now: datetime) -> list[WaitingGroup]:
    """Return due runs that are held back, grouped by the reason, the largest group first."""
    due = scheduled_runs(until=now)
    if not due:
        return []
    open_runs = FlowRun.objects.open().in_state(*HOLDING).order_by()
    holding = Counter(open_runs.values_list("work_queue_id", flat=True)[:MOST_COUNTED])
    groups = waiting_groups(due, workers=list(Worker.objects.filter(online(now))), holding=holding, now=now)
    return sorted((one for one in groups if one.is_late(now)), key=lambda one: len(one.runs), reverse=True)
