"""Problems: list and read them, change their status, and retry their failed runs as a bulk action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.response import Response

from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orchestration.sight import sees_in_part
from orion_site.accounts.permissions import Action
from orionflow.contract import problems as contract
from orionflow.contract.bulk_actions import BulkAction
from orionflow.contract.wire import Wire
from runs.bulk_actions.services import MOST, NewBulkAction, carry_out_bulk_action
from runs.errors import ProblemNotFound
from runs.flow_runs.commands import refusals_to_retry
from runs.lists.filters.conditions import AnyText, Filter, MomentRange, RunId, matched
from runs.models import Occurrence, Problem
from runs.problems.selectors import Extent, as_seen, extents_of, failed_now, problems_in, trend_of, waiting_now
from runs.problems.services.counting import catch_up
from runs.problems.services.decisions import assign_problem, mute_problem, resolve_problem, unmute_problem

# The most runs counted for each problem of a list.
COUNTED_IN_LISTS = 1_000
# The most runs that the rules are asked about.
JUDGED = 1_000


class ProblemFilter(Filter):
    id: RunId | None = None
    status: AnyText | None = None
    type: AnyText | None = None
    assignee: AnyText | None = None
    first_seen: MomentRange | None = None
    last_seen: MomentRange | None = None


class ProblemSearch(Wire):
    problems: ProblemFilter | None = None


class ProblemListing(ProblemSearch, Page):
    """A filter and a page of problems; those that failed last come first."""


def _matching(search: ProblemSearch) -> QuerySet[Problem]:
    # If no server runs the service, recent failures have not been counted yet.
    catch_up(current_time())
    return problems_in().filter(matched(search.problems))


class FilterProblems(Operation):
    """List problems, the one that failed last first."""

    method = "POST"
    action_required = Action.READ_RUNS
    may_lag = True
    answers = {200: list[contract.Problem]}
    body_optional = True

    def perform(self, body: ProblemListing) -> list[dict[str, Any]]:
        found = self.paginate_queryset(_matching(body))
        extents = extents_of([one.pk for one in found], cap=COUNTED_IN_LISTS)
        return [_answer(one, extents[one.pk]) for one in found]


class CountProblems(Operation):
    """Count problems."""

    method = "POST"
    action_required = Action.READ_RUNS
    may_lag = True
    answers = {200: int}
    body_optional = True

    def perform(self, body: ProblemSearch) -> int:
        return _matching(body).count()


class ReadProblem(Operation):
    """Read a problem."""

    method = "GET"
    action_required = Action.READ_RUNS
    may_lag = True
    answers = {200: contract.Problem}

    def perform(self, id: UUID) -> dict[str, Any]:
        catch_up(current_time())
        found = _existing(id)
        return _answer(found, extents_of([found.pk])[found.pk])


class ReadWaiting(Operation):
    """List what late runs wait for: a group for each reason."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: list[contract.WaitingRuns]}

    def perform(self) -> list[dict[str, Any]]:
        return [
            {
                "reason": one.reason.text if one.reason else "Their agents have not taken them.",
                "fix": (one.reason.fix if one.reason else None) or "",
                "runs": len(one.runs),
                "since": one.since,
                "work_queue_name": one.queue.name if one.queue else None,
                "flows": [name for name, _ in Counter(run.flow.name for run in one.runs).most_common()],
                "oldest_run_id": one.oldest.pk,
            }
            for one in waiting_now(current_time())
        ]


class PreviewProblemRetry(Operation):
    """Ask the rules which of the problem's failed runs can be retried, and why the others cannot."""

    method = "POST"
    action_required = Action.READ_RUNS
    answers = {200: contract.ProblemRetryPreview}
    body_optional = True

    def perform(self, id: UUID) -> dict[str, Any]:
        now, runs = current_time(), list(failed_now(_existing(id).pk)[: JUDGED + 1])
        refused = refusals_to_retry(runs[:JUDGED], now=now)
        judged = min(len(runs), JUDGED)
        return {
            "can": judged - len(refused),
            "cannot": len(refused),
            "reasons": dict(Counter(refused.values()).most_common()),
            "is_cut": len(runs) > JUDGED,
        }


class RetryProblem(Operation):
    """Retry the runs that are failed by the problem now: few at once, many in the background."""

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {201: BulkAction}
    body_optional = True

    def perform(self, id: UUID, body: contract.ProblemRetry) -> Response:
        now = current_time()
        runs: Sequence[tuple[UUID, str]] = list(failed_now(_existing(id).pk).values_list("pk", "name")[: MOST + 1])
        begun = carry_out_bulk_action(
            new=NewBulkAction(
                action="retry",
                runs=runs[:MOST],
                filter={"query": f"problem={id}&state=failed%2Ccrashed"},
                author=self.request.user.name,
                entrance="api",
                is_cut=len(runs) > MOST,
                id=body.id,
            ),
            now=now,
        )
        return Response(as_answer(BulkAction, begun), status=201)


class MuteProblem(Operation):
    """Mute a problem until it grows, until another version fails by it, until a time, or forever."""

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {200: contract.Problem}
    body_optional = True

    def perform(self, id: UUID, body: contract.ProblemMute) -> dict[str, Any]:
        found = mute_problem(
            problem_id=_existing(id).pk,
            now=current_time(),
            until=body.until,
            grows_by=body.grows_by,
            other_version=body.other_version,
        )
        return _shown(found)


class UnmuteProblem(Operation):
    """Reopen a problem that was muted or resolved."""

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {200: contract.Problem}
    body_optional = True

    def perform(self, id: UUID) -> dict[str, Any]:
        return _shown(unmute_problem(problem_id=_existing(id).pk, now=current_time()))


class ResolveProblem(Operation):
    """Close a problem. A later run that fails by it reopens it, as regressed."""

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {200: contract.Problem}
    body_optional = True

    def perform(self, id: UUID) -> dict[str, Any]:
        by = self.request.user.name
        return _shown(resolve_problem(problem_id=_existing(id).pk, by=by, now=current_time()))


class AssignProblem(Operation):
    """Assign a problem."""

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {200: contract.Problem}

    def perform(self, id: UUID, body: contract.ProblemAssignment) -> dict[str, Any]:
        return _shown(assign_problem(problem_id=_existing(id).pk, assignee=body.assignee.strip(), now=current_time()))


def _existing(problem_id: UUID) -> Problem:
    found: Problem | None = problems_in().filter(pk=problem_id).first()
    if found is None and Occurrence.objects.filter(problem_id=problem_id, is_pending=True).exists():
        catch_up(current_time())
        found = problems_in().filter(pk=problem_id).first()
    if found is None:
        raise ProblemNotFound(id=problem_id)
    return found


def _shown(problem: Problem) -> dict[str, Any]:
    """Return the answer with the problem read again: services return problems without their runs."""
    return _answer(_existing(problem.pk), extents_of([problem.pk])[problem.pk])


def _answer(problem: Problem, extent: Extent) -> dict[str, Any]:
    return as_answer(
        contract.Problem,
        as_seen(problem),
        failures=extent.runs if sees_in_part() else problem.failures,
        runs=extent.runs,
        failed=extent.failed,
        flows=list(extent.flows),
        versions=list(extent.versions),
        trend=[{"hour": f"{hour}:00:00+00:00", "failures": number} for hour, number in trend_of(problem).items()],
    )
