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
    """Since how many hours ago: the runs that were due since then."""

    hours: Annotated[float, Field(gt=0, le=24 * 31)] = 24


class Stretch(Answer):
    """A time that a run spent in one way; of limits, which one it was and who held a slot of it longest."""

    kind: TimeKind
    begin: datetime
    end: datetime
    name: str = ""
    holder_id: UUID | None = None


class TimeShare(Answer):
    """All the time that was spent in one way; `text` says it in words."""

    kind: TimeKind
    name: str = ""
    text: str
    seconds: float
    holder_id: UUID | None = None
    holder: str | None = None


class TimeSpent(Answer):
    """The life of a run since it was due. The shares add up to the whole, and so do the stretches."""

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
    """Where the time of finished runs went. `reaches` is there where the newest of them were looked at only."""

    since: datetime
    runs: int
    reaches: datetime | None = None
    seconds: float
    shares: list[FleetShare] = []
    flows: list[FlowTime] = []
    tags: list[TagWait] = []
