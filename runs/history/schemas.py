"""Schemas of the counts of runs over time."""

from __future__ import annotations

from typing import Annotated, Any

from orchestration.api.answers import as_answer
from orionflow.contract import explanations as contract
from orionflow.contract.wire import Shaped
from runs.history.selectors.history import Bin
from runs.lists.filters.searches import FlowRunHistorySearch, Search


class FlowRunHistoryRequest(FlowRunHistorySearch, contract.HistoryWindow):
    pass


class TaskRunHistoryRequest(Search, contract.HistoryWindow):
    pass


HistoryOut = Annotated[dict[str, Any], Shaped(contract.HistoryBucket)]


def history_out(bins: list[Bin]) -> list[HistoryOut]:
    return [
        as_answer(
            contract.HistoryBucket,
            each,
            states=[as_answer(contract.HistoryState, state) for state in each.states],
        )
        for each in bins
    ]
