"""Calls about retries from tasks: previews, retries, and the questions of the engine at the start of an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from orionflow import contract, wire
from orionflow.calls import Call, present
from orionflow.calls.flow_runs import FLOW_RUNS

if TYPE_CHECKING:
    from orionflow.contract.retries import RetryPreview, RetryResult, RunRetry
    from orionflow.wire import RecordedCalls


def preview_retry(
    flow_run_id: UUID | str, *, from_tasks: Sequence[str], new_run: bool = False, process: str | None = None
) -> Call[RetryPreview]:
    """Preview a retry from these tasks."""
    body = present(from_tasks=list(from_tasks), new_run=new_run, process=process)
    read = lambda: contract.retries.RetryPreview  # noqa: E731
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/retry/preview", body, read=read)


def retry_flow_run(
    flow_run_id: UUID | str,
    *,
    from_tasks: Sequence[str],
    id: UUID,
    new_run: bool = False,
    process: str | None = None,
) -> Call[RetryResult]:
    """Run a finished run again from these tasks; the `id` of the retry makes the call repeatable.

    `process` identifies the caller's process, if the caller executes the run itself (`orionflow.processes`).
    """
    body = present(from_tasks=list(from_tasks), id=id, new_run=new_run, process=process)
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/retry", body, read=lambda: contract.retries.RetryResult)


def read_retries(flow_run_id: UUID | str) -> Call[list[RunRetry]]:
    """Read the retries of a run from tasks, and of the runs that continue it, newest first."""
    return Call("GET", f"{FLOW_RUNS.one(flow_run_id)}/retries", read=lambda: list[contract.retries.RunRetry])


def read_recorded(
    flow_run_id: UUID, *, source_id: UUID | None = None, after: UUID | None = None
) -> Call[RecordedCalls]:
    """Read a page of the recorded results that an attempt of a retried run reuses."""
    body = present(source_id=source_id, after=after)
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/recorded", body, read=lambda: wire.RecordedCalls)


def report_retry(flow_run_id: UUID, *, attempt: int, reused: int, again: int, new: int) -> Call[None]:
    """Report how many calls of a retried run's attempt reused a result, ran again, or were new."""
    body = {"attempt": attempt, "reused": reused, "again": again, "new": new}
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/retries/outcome", body)
