"""Bulk actions: start them with a filter, list, read and stop them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.response import Response

from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import bulk_actions as contract
from runs.bulk_actions.services import MOST, NewBulkAction, carry_out_bulk_action, stop_bulk_action
from runs.errors import BulkActionNotFound, WithoutFilter
from runs.lists.filters.conditions import AnyId, AnyText, Filter, matched
from runs.lists.filters.searches import FlowRunSearch, flow_runs_matching
from runs.models import BulkAction, BulkRun


class BulkActionRequest(FlowRunSearch, contract.BulkCommand):
    """The runs are the newest 10,000 that `/flow_runs/filter` finds.

    At least one filter is needed; `{"flow_runs": {}}` means all. Sent again with the same `id`, it is done once. A
    retry may start from tasks of these names; `@failed` stands for those that did not complete.
    """

    def criteria(self) -> dict[str, Any]:
        """The filter alone."""
        return self.model_dump(mode="json", exclude_unset=True, exclude=set(contract.BulkCommand.model_fields))


class BulkActionFilter(Filter):
    id: AnyId | None = None
    status: AnyText | None = None
    action: AnyText | None = None
    author: AnyText | None = None


class BulkActionListing(Page):
    bulk_actions: BulkActionFilter | None = None


class BulkRunFilter(Filter):
    run_id: AnyId | None = None
    outcome: AnyText | None = None


class BulkRunListing(Page):
    runs: BulkRunFilter | None = None


class CreateBulkAction(Operation):
    """Retry, cancel or delete all flow runs that a filter finds. Few are changed at once, many in the background."""

    method = "POST"
    action_required = Action.CHANGE_RUNS
    by_sight = True
    answers = {201: contract.BulkAction}

    def perform(self, body: BulkActionRequest) -> Response:
        criteria = {name: one for name, one in body.criteria().items() if one is not None}
        if not criteria:
            raise WithoutFilter
        now = current_time()
        newest = flow_runs_matching(body).order_by("-id").values_list("pk", "name")
        runs = list(newest[: MOST + 1])
        begun = carry_out_bulk_action(
            new=NewBulkAction(
                action=body.action,
                runs=runs[:MOST],
                filter=criteria,
                author=self.request.user.name,
                entrance="api",
                is_cut=len(runs) > MOST,
                id=body.id,
                from_tasks=body.from_tasks if body.action == "retry" else (),
            ),
            now=now,
        )
        return Response(as_answer(contract.BulkAction, begun), status=201)


class FilterBulkActions(Operation):
    """List bulk actions, the newest first."""

    method = "POST"
    action_required = Action.READ_RUNS
    answers = {200: list[contract.BulkAction]}
    body_optional = True

    def perform(self, body: BulkActionListing) -> list[dict[str, Any]]:
        found = BulkAction.objects.filter(matched(body.bulk_actions)).order_by("-created", "-pk")
        return [as_answer(contract.BulkAction, one) for one in self.paginate_queryset(found)]


class ReadBulkAction(Operation):
    """Read a bulk action with its progress."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: contract.BulkAction}

    def perform(self, id: UUID) -> dict[str, Any]:
        return as_answer(contract.BulkAction, _existing(id))


class StopBulkAction(Operation):
    """Stop a bulk action. Runs that it changed stay changed; a finished action stays as it is."""

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        stop_bulk_action(bulk_id=id, now=current_time())


class FilterBulkRuns(Operation):
    """List the flow runs of a bulk action in order, with their outcomes."""

    method = "POST"
    action_required = Action.READ_RUNS
    answers = {200: list[contract.BulkRun]}
    body_optional = True

    def perform(self, id: UUID, body: BulkRunListing) -> list[dict[str, Any]]:
        found = BulkRun.objects.filter(matched(body.runs), bulk_action=_existing(id)).order_by("number")
        return [as_answer(contract.BulkRun, one) for one in self.paginate_queryset(found)]


def _existing(bulk_id: UUID) -> BulkAction:
    found: BulkAction | None = BulkAction.objects.filter(pk=bulk_id).first()
    if found is None:
        raise BulkActionNotFound(id=bulk_id)
    return found
