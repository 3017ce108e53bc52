"""Findings about the flow runs that a filter finds."""

from __future__ import annotations

from typing import Annotated, Any

from orchestration.api.answers import as_answer
from orchestration.database_clock import current_time
from orionflow.contract import comparisons as contract
from orionflow.contract.wire import Shaped
from runs.in_common.core.findings import CERTAINTY
from runs.in_common.selectors import LOOKED_AT, what_is_common
from runs.lists.api import RunQuestion
from runs.lists.filters.searches import FlowRunSearch, flow_runs_matching

InCommonOut = Annotated[dict[str, Any], Shaped(contract.InCommon)]


class FindWhatIsCommon(RunQuestion):
    """Return what the flow runs of a filter have in common that other runs of their flows do not."""

    answers = {200: InCommonOut}

    def perform(self, body: FlowRunSearch) -> InCommonOut:
        newest = flow_runs_matching(body).order_by("-id").values_list("pk", flat=True)[:LOOKED_AT]
        compared = what_is_common(run_ids=list(newest), since=None, now=current_time())
        found = compared.found
        return as_answer(
            contract.InCommon,
            compared,
            chosen=found.chosen,
            others=found.others,
            tested=found.tested,
            certainty=1 - CERTAINTY,
            findings=[as_answer(contract.Finding, one) for one in found.findings],
            not_compared=list(found.not_compared),
        )
