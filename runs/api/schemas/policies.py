"""What authors ask for their runs: retries, delays, overlap. Stored as sent, told with every field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from orchestration.core.runs import Overlap
from orchestration.wire import Natural, Seconds, Wire


class FlowRunPolicyIn(Wire):
    max_retries: Natural | None = None
    retry_delay_seconds: Seconds | None = None
    retries: Natural | None = None
    retry_delay: Seconds | None = None
    retry_backoff_factor: Annotated[float, Field(ge=0, le=1000)] | None = None
    retry_delay_max: Seconds | None = None
    retry_jitter_factor: Annotated[float, Field(ge=0, le=1000)] | None = None
    crash_retries: Natural | None = None
    overlap: Overlap | None = None
    overlap_scope: Literal["flow", "deployment"] | None = None
    pause_keys: list[str] | None = None
    resuming: bool | None = None
    retry_type: Literal["in_process", "reschedule"] | None = None


class TaskRunPolicyIn(Wire):
    max_retries: Natural | None = None
    retry_delay_seconds: Seconds | None = None
    retries: Natural | None = None
    retry_delay: Seconds | Annotated[list[Seconds], Field(max_length=1000)] | None = None
    retry_backoff_factor: Annotated[float, Field(ge=0, le=1000)] | None = None
    retry_delay_max: Seconds | None = None
    retry_jitter_factor: Annotated[float, Field(ge=0, le=1000)] | None = None
    crash_retries: Natural | None = None


class TaskRunPolicyOut(TypedDict):
    max_retries: int
    retry_delay_seconds: float
    retries: int | None
    retry_delay: float | list[float] | None
    retry_backoff_factor: float | None
    retry_delay_max: float | None
    retry_jitter_factor: float | None
    crash_retries: int
    crash_count: int


class FlowRunPolicyOut(TaskRunPolicyOut):
    overlap: Overlap
    overlap_scope: Literal["flow", "deployment"]
    pause_keys: list[str]
    resuming: bool
    retry_type: Literal["in_process", "reschedule"] | None
    # Only of runs that were handed over.
    handovers: NotRequired[int]


_TASK_DEFAULTS: Mapping[str, Any] = {
    "max_retries": 0,
    "retry_delay_seconds": 0.0,
    "retries": None,
    "retry_delay": None,
    "retry_backoff_factor": None,
    "retry_delay_max": None,
    "retry_jitter_factor": None,
    "crash_retries": 0,
    "crash_count": 0,
}
_FLOW_DEFAULTS: Mapping[str, Any] = {
    **_TASK_DEFAULTS,
    "overlap": "allow",
    "overlap_scope": "flow",
    "pause_keys": [],
    "resuming": False,
    "retry_type": None,
}


def policy_in(sent: FlowRunPolicyIn | TaskRunPolicyIn | None) -> dict[str, Any]:
    """What was said, without what was left open."""
    return sent.model_dump(mode="json", exclude_none=True) if sent else {}


def flow_run_policy_out(stored: Mapping[str, Any]) -> FlowRunPolicyOut:
    return cast(FlowRunPolicyOut, {**_FLOW_DEFAULTS, **stored})


def task_run_policy_out(stored: Mapping[str, Any]) -> TaskRunPolicyOut:
    return cast(TaskRunPolicyOut, {**_TASK_DEFAULTS, **stored})
