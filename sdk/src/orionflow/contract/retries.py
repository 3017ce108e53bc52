"""Retries from a task on the wire: requests, previews, a stored retry, and the questions of the engine at its start."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from orionflow.contract.runs import OrchestrationResult, StateOut
from orionflow.contract.wire import Answer, Details, Names, Natural, Stored, StrictWire, Text1024

RetryCause = Literal["chosen", "depends", "inside", "unfinished", "unstored", "changed", "expired", "unknown"]
Wanted = Annotated[list[Text1024], Field(min_length=1, max_length=1000)]


class RetryRequest(StrictWire):
    """`from_tasks` are names of tasks, or names or ids of task runs; `@failed` means those that did not complete.

    With `process` the caller executes the run itself, and names its process.
    """

    from_tasks: Wanted
    new_run: bool = False
    process: Text1024 | None = None


class RetryCreate(RetryRequest):
    """With an `id` set by the sender the request may be repeated."""

    id: UUID | None = None


class RetryNumbers(Answer):
    """How many results would be reused and how many calls would run again, why, and how long those took last time.

    `elapsed_seconds` is the time in which at least one of them ran, `longest_chain_seconds` the longest path through
    them along their inputs.
    """

    reused: Natural = 0
    reused_by_order: Natural = 0
    again: Natural = 0
    causes: dict[RetryCause, int] = {}
    work_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    longest_chain_seconds: float = 0.0


class CallAgain(Answer):
    """A task run that would run again."""

    task_run_id: UUID
    flow_run_id: UUID
    name: str
    cause: RetryCause
    seconds: float


class RetryPreview(RetryNumbers):
    """At most a hundred of the calls that would run again are listed; all are counted."""

    flow_run_id: UUID
    flow_run_name: str | None = None
    from_tasks: Names = []
    chosen: Natural = 0
    refusals: list[str] = []
    notes: list[str] = []
    calls: list[CallAgain] = []


class RunRetry(Stored):
    """A started retry. The run is `source_id` itself, or a new one that reuses the records of that one."""

    flow_run_id: UUID
    source_id: UUID
    source_name: str = ""
    new_run: bool
    attempt: Natural
    author: str = ""
    from_tasks: Names = []
    plan: Details = {}
    outcome: dict[str, int] | None = None


class RetryResult(OrchestrationResult):
    """The verdict on a retry, and the retry if it was started."""

    retry: RunRetry | None = None


class RetryOutcome(StrictWire):
    """The calls of an attempt: reused ones, repeated ones, and new ones."""

    attempt: Natural
    reused: Natural
    again: Natural
    new: Natural


class RecordedRequest(StrictWire):
    """The run whose records to read, by default the one that this run continues, and the call after which to start."""

    source_id: UUID | None = None
    after: UUID | None = None


class RecordedCall(Answer):
    """A call of a task or nested flow, by its keys, and its state."""

    id: UUID
    task_key: str
    dynamic_key: str
    state: StateOut | None = None


class RecordedCalls(Answer):
    """States that are not reused, those of nested runs of which a part runs again, and calls of another run."""

    again: list[UUID] = []
    entered: list[UUID] = []
    source_id: UUID | None = None
    calls: list[RecordedCall] = []
    after: UUID | None = None
