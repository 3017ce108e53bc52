"""Calls about retries from tasks: what one would come to, doing it, and what the engine asks before it begins."""

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
    """Ask what a retry from these tasks would come to."""
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
    """Have a finished run run again from these tasks; the `id` of the retry makes the call repeatable.

    `process` is that of a caller who executes the run itself (`orionflow.processes`).
    """
    body = present(from_tasks=list(from_tasks), id=id, new_run=new_run, process=process)
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/retry", body, read=lambda: contract.retries.RetryResult)


def read_retries(flow_run_id: UUID | str) -> Call[list[RunRetry]]:
    """Read the retries of a run from tasks, and of the runs that continue it, the newest first."""
    return Call("GET", f"{FLOW_RUNS.one(flow_run_id)}/retries", read=lambda: list[contract.retries.RunRetry])


def read_recorded(
    flow_run_id: UUID, *, source_id: UUID | None = None, after: UUID | None = None
) -> Call[RecordedCalls]:
    """Read a page of what an attempt of a retried run takes up."""
    body = present(source_id=source_id, after=after)
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/recorded", body, read=lambda: wire.RecordedCalls)


def report_retry(flow_run_id: UUID, *, attempt: int, reused: int, again: int, new: int) -> Call[None]:
    """Report what an attempt of a retried run took up, ran again, and called for the first time."""
    body = {"attempt": attempt, "reused": reused, "again": again, "new": new}
    return Call("POST", f"{FLOW_RUNS.one(flow_run_id)}/retries/outcome", body)
