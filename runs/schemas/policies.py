"""What authors ask for their runs: retries, delays, overlap. Stored as sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from typing_extensions import TypedDict

from orchestration.core.runs import Overlap
from orionflow.contract.wire import Natural, Seconds, Wire


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


class OwnPolicyOut(TypedDict, total=False):
    """What only Orion knows. It is told where it is not at its default: clients of Prefect 2 may refuse what is new."""

    retry_backoff_factor: float
    retry_delay_max: float
    crash_retries: int
    crash_count: int


class TaskRunPolicyOut(OwnPolicyOut):
    max_retries: int
    retry_delay_seconds: float
    retries: int | None
    retry_delay: float | list[float] | None
    retry_jitter_factor: float | None


class OwnFlowRunPolicyOut(OwnPolicyOut, total=False):
    retry_jitter_factor: float
    overlap: Overlap
    overlap_scope: Literal["flow", "deployment"]


class FlowRunPolicyOut(OwnFlowRunPolicyOut):
    max_retries: int
    retry_delay_seconds: float
    retries: int | None
    retry_delay: float | list[float] | None
    pause_keys: list[str]
    resuming: bool
    retry_type: Literal["in_process", "reschedule"] | None


_RETRIES: Mapping[str, Any] = {"max_retries": 0, "retry_delay_seconds": 0.0, "retries": None, "retry_delay": None}
_TASK_DEFAULTS: Mapping[str, Any] = {**_RETRIES, "retry_jitter_factor": None}
_FLOW_DEFAULTS: Mapping[str, Any] = {**_RETRIES, "pause_keys": [], "resuming": False, "retry_type": None}
_OWN_DEFAULTS: Mapping[str, Any] = {"crash_retries": 0, "crash_count": 0, "overlap": "allow", "overlap_scope": "flow"}


def policy_in(sent: FlowRunPolicyIn | TaskRunPolicyIn | None) -> dict[str, Any]:
    """What was said, without what was left open."""
    return sent.model_dump(mode="json", exclude_none=True) if sent else {}


def flow_run_policy_out(stored: Mapping[str, Any]) -> FlowRunPolicyOut:
    return cast(FlowRunPolicyOut, {**_FLOW_DEFAULTS, **_told(stored)})


def task_run_policy_out(stored: Mapping[str, Any]) -> TaskRunPolicyOut:
    return cast(TaskRunPolicyOut, {**_TASK_DEFAULTS, **_told(stored)})


def _told(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    if stored.keys().isdisjoint(_OWN_DEFAULTS):
        return stored
    return {
        name: value for name, value in stored.items() if not (name in _OWN_DEFAULTS and value == _OWN_DEFAULTS[name])
    }
