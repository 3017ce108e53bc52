"""The time that runs spent in different ways, on the wire. Periods are in seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from orionflow.contract.wire import Answer, StrictWire

# The ways in which a run spends its time, in the order in which they occur.
TimeKind = Literal["schedule", "queue", "limit", "startup", "work", "idle", "retry", "pause", "stopping", "over"]


class TimeQuestion(StrictWire):
    """The age in hours of the oldest runs to include, by the time when they were due."""

    hours: Annotated[float, Field(gt=0, le=24 * 31)] = 24


class Stretch(Answer):
    """A period that a run spent in one way; for a limit, with its name and the run that held a slot of it longest."""

    kind: TimeKind
    begin: datetime
    end: datetime
    name: str = ""
    holder_id: UUID | None = None


class TimeShare(Answer):
    """The total time that was spent in one way; `text` describes it."""

    kind: TimeKind
    name: str = ""
    text: str
    seconds: float
    holder_id: UUID | None = None
    holder: str | None = None


class TimeSpent(Answer):
    """How a run spent its time since it was due. The shares add up to the whole, and so do the periods."""

    run_id: UUID
    name: str
    begin: datetime | None = None
    end: datetime | None = None
    seconds: float
    is_over: bool
    is_cut: bool = False
    shares: list[TimeShare] = []
    stretches: list[Stretch] = []


class FleetShare(TimeShare):
    """The time that many runs spent in one way, and how many of them did."""

    runs: int
    percent: float


class FlowTime(Answer):
    """The time of the runs of one flow, and what they waited for longest."""

    flow_name: str
    runs: int
    waited_seconds: float
    worked_seconds: float
    mostly: str | None = None


class TagWait(Answer):
    """How long task runs waited for slots of a tag while their flow runs ran."""

    tag: str
    task_runs: int
    waited_seconds: float


class FleetTime(Answer):
    """How finished runs spent their time. `reaches` is set if only the newest of them were examined."""

    since: datetime
    runs: int
    reaches: datetime | None = None
    seconds: float
    shares: list[FleetShare] = []
    flows: list[FlowTime] = []
    tags: list[TagWait] = []
