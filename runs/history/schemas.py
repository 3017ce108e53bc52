"""Schemas of the counts of runs over time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from orchestration.api.errors import Refused
from orchestration.core.states import StateType
from orionflow.contract.explanations import HistoryBucket
from orionflow.contract.wire import Moment, Shaped, Wire
from runs.history.selectors.history import Bin
from runs.lists.filters.searches import FlowRunHistorySearch, Search

# Seconds in a century. Longer steps would give the same single bin.
LONGEST_STEP = 100 * 366 * 86_400


class HistoryWindow(Wire):
    """The period of a history, and the length of its bins."""

    history_start: Moment
    history_end: Moment
    history_interval_seconds: Annotated[float, Field(le=LONGEST_STEP)]

    def step(self) -> timedelta:
        if self.history_interval_seconds < 1:
            raise Refused("History interval must not be less than 1 second.")
        return timedelta(seconds=self.history_interval_seconds)


class FlowRunHistoryRequest(FlowRunHistorySearch, HistoryWindow):
    pass


class TaskRunHistoryRequest(Search, HistoryWindow):
    pass


HistoryOut = Annotated[dict[str, Any], Shaped(HistoryBucket)]


class SimpleFlowRunOut(TypedDict):
    """A flow run as a dot in a diagram."""

    id: UUID
    state_type: StateType
    timestamp: datetime
    duration: float
    lateness: float


class TaskRunCountOut(TypedDict):
    completed: int
    failed: int


def history_out(bins: list[Bin]) -> list[HistoryOut]:
    return [
        {
            "interval_start": each.start,
            "interval_end": each.end,
            "states": [
                {
                    "state_type": StateType(state.type),
                    "state_name": state.name,
                    "count_runs": state.runs,
                    "sum_estimated_run_time": state.run_time,
                    "sum_estimated_lateness": state.lateness,
                }
                for state in each.states
            ],
        }
        for each in bins
    ]
