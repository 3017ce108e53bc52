"""How the time of a run, and of all runs, was spent."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from orchestration.api.answers import as_answer
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import time_spent as contract
from orionflow.contract.wire import Shaped
from runs.time_spent.core.stretches import Share
from runs.time_spent.selectors.of_fleet import time_of_fleet
from runs.time_spent.selectors.of_run import time_of_run

TimeSpentOut = Annotated[dict[str, Any], Shaped(contract.TimeSpent)]
FleetTimeOut = Annotated[dict[str, Any], Shaped(contract.FleetTime)]


class ReadTimeOfFlowRun(Operation):
    """Return how the time of a flow run was spent: waiting, starting, working, idle."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: TimeSpentOut}

    def perform(self, id: UUID) -> TimeSpentOut:
        found = existing(time_of_run(run_id=id, now=current_time()), "Flow run")
        return as_answer(
            contract.TimeSpent,
            found,
            run_id=found.run.id,
            name=found.run.name,
            seconds=found.lasted.total_seconds(),
            shares=[_share(one) for one in found.shares],
            stretches=[as_answer(contract.Stretch, one) for one in found.stretches],
        )


class ReadTimeOfFlowRuns(Operation):
    """Return how the time of flow runs that finished in the last hours was spent, by reason, flow and tag."""

    method = "GET"
    action_required = Action.READ_RUNS
    may_lag = True
    answers = {200: FleetTimeOut}

    def perform(self, query: contract.TimeQuestion) -> FleetTimeOut:
        now = current_time()
        found = time_of_fleet(since=now - timedelta(hours=query.hours), now=now)
        return as_answer(
            contract.FleetTime,
            found,
            seconds=found.whole.total_seconds(),
            shares=[{**_share(one.share), "runs": one.runs, "percent": one.percent} for one in found.reasons],
            flows=[
                {
                    "flow_name": one.flow,
                    "runs": one.runs,
                    "waited_seconds": one.waited.total_seconds(),
                    "worked_seconds": one.worked.total_seconds(),
                    "mostly": one.mostly.words if one.mostly else None,
                }
                for one in found.flows
            ],
            tags=[
                {"tag": one.tag, "task_runs": one.task_runs, "waited_seconds": one.waited.total_seconds()}
                for one in found.tags
            ],
        )


def _share(one: Share) -> dict[str, Any]:
    return as_answer(
        contract.TimeShare, one, text=one.words, seconds=one.lasted.total_seconds(), holder=one.holder or None
    )
