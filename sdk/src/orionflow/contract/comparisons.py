"""Comparisons of runs on the wire: the differences between two runs, and what chosen runs have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from orionflow.contract.states import StateType
from orionflow.contract.wire import Answer, StrictWire


class DiffQuestion(StrictWire):
    """`base` is the earlier run; by default the last good run of the same deployment or flow."""

    base: UUID | None = None


class ComparedRun(Answer):
    """One of the two runs that are compared. `run_time` is in seconds."""

    id: UUID
    name: str
    flow_name: str
    state_type: StateType | None = None
    state_name: str | None = None
    start_time: datetime | None = None
    run_time: float | None = None
    error: str | None = None


class Difference(Answer):
    """One fact that differs; `text` describes it. Values are texts, empty if there is none."""

    subject: str
    name: str
    before: str
    after: str
    text: str


class TaskDifference(Answer):
    """A difference of one task run, or of all runs of a task that only one of the two runs has."""

    task_key: str
    name: str
    kinds: list[
        Literal["only_before", "only_after", "state", "error", "cache", "attempts", "duration"]
    ]  # fmt: skip
    text: str
    number: int = 1
    before_id: UUID | None = None
    after_id: UUID | None = None


class LogDifference(Answer):
    """The first line of the later run that the earlier one did not write, regardless of times and ids."""

    line: str
    above: list[str] = []
    instead: str | None = None


class Comparison(Answer):
    """Two runs, and all differences between them, the most informative first."""

    before: ComparedRun
    after: ComparedRun
    of_same_flow: bool
    differences: list[Difference] = []
    tasks: list[TaskDifference] = []
    tasks_alike: int = 0
    tasks_left_out: int = 0
    log: LogDifference | None = None
    unknown: list[str] = []


class Finding(Answer):
    """A value that is more frequent among the chosen runs than among others of their flows, and how certain that is.

    `p` is the probability of such a finding by chance alone. `lift` is the ratio of the frequencies, and null if no
    other run has the value. `like` names an earlier finding that holds for nearly the same runs.
    """

    dimension: str
    value: str
    text: str
    chosen_with: int
    chosen: int
    others_with: int
    others: int
    lift: float | None = None
    p: float
    like: str = ""


class InCommon(Answer):
    """Findings: what the chosen runs have in common, unlike the other runs of the same flows at the same time."""

    chosen: int
    others: int
    chosen_of: int
    others_of: int
    flows: list[str] = []
    begin: datetime | None = None
    end: datetime | None = None
    is_cut: bool = False
    tested: int = 0
    certainty: float
    findings: list[Finding] = []
    not_compared: list[str] = []
