"""The comparison of two runs."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from orchestration.api.answers import as_answer
from orchestration.api.errors import Refused, existing
from orchestration.api.operations import Operation
from orion_site.accounts.permissions import Action
from orionflow.contract import comparisons as contract
from orionflow.contract.wire import Shaped
from runs.comparing.core.compared import ComparedRun, Comparison, TaskDifference
from runs.comparing.selectors import comparison_of, last_good_before
from runs.models import FlowRun

ComparisonOut = Annotated[dict[str, Any], Shaped(contract.Comparison)]
NO_GOOD_RUN = "No earlier run of the same deployment or flow completed; name the run to compare with as ?base=."


class DiffFlowRuns(Operation):
    """Compare a flow run with `base`, by default the last good run of its deployment or flow."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: ComparisonOut}

    def perform(self, id: UUID, query: contract.DiffQuestion) -> ComparisonOut:
        base = query.base or last_good_before(run_id=id)
        if base is None:
            existing(FlowRun.objects.filter(pk=id).first(), "Flow run")
            raise Refused(NO_GOOD_RUN, 409)
        found = existing(comparison_of(before_id=base, after_id=id), "Flow run")
        return comparison_out(found)


def comparison_out(found: Comparison) -> ComparisonOut:
    return as_answer(
        contract.Comparison,
        found,
        before=_run_out(found.before),
        after=_run_out(found.after),
        differences=[as_answer(contract.Difference, one) for one in found.differences],
        tasks=[_task_out(one) for one in found.tasks],
        log=as_answer(contract.LogDifference, found.log) if found.log else None,
    )


def _run_out(run: ComparedRun) -> dict[str, Any]:
    return as_answer(
        contract.ComparedRun,
        run,
        flow_name=run.flow,
        start_time=run.began,
        run_time=run.seconds,
        error=run.error or None,
    )


def _task_out(one: TaskDifference) -> dict[str, Any]:
    ids = {"before_id": one.before and one.before.id, "after_id": one.after and one.after.id}
    return as_answer(contract.TaskDifference, one, task_key=one.key, **ids)
