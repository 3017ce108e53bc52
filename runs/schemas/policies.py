"""The policies that authors set for their runs: retries, delays, overlap. They are stored as sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from orionflow.contract.runs import FlowRunPolicyIn, FlowRunPolicyOut, TaskRunPolicyIn, TaskRunPolicyOut

_RETRIES: Mapping[str, Any] = {"max_retries": 0, "retry_delay_seconds": 0.0, "retries": None, "retry_delay": None}
_OLD_NAMES: Mapping[str, str] = {"max_retries": "retries", "retry_delay_seconds": "retry_delay"}
_TASK_DEFAULTS: Mapping[str, Any] = {**_RETRIES, "retry_jitter_factor": None}
_FLOW_DEFAULTS: Mapping[str, Any] = {**_RETRIES, "pause_keys": [], "resuming": False, "retry_type": None}
_OWN_DEFAULTS: Mapping[str, Any] = {"crash_retries": 0, "crash_count": 0, "overlap": "allow", "overlap_scope": "flow"}
# Fields of runs that were paused. Strict clients refuse unknown fields, so these are not returned.
_FOR_RULES_ALONE = frozenset({"resumes", "unstarted"})


def policy_in(sent: FlowRunPolicyIn | TaskRunPolicyIn | None) -> dict[str, Any]:
    """Return the fields that were sent."""
    return sent.model_dump(mode="json", exclude_none=True) if sent else {}


def flow_run_policy_out(stored: Mapping[str, Any]) -> FlowRunPolicyOut:
    return cast(FlowRunPolicyOut, {**_FLOW_DEFAULTS, **_under_present_names(_without_own_defaults(stored))})


def task_run_policy_out(stored: Mapping[str, Any]) -> TaskRunPolicyOut:
    return cast(TaskRunPolicyOut, {**_TASK_DEFAULTS, **_under_present_names(_without_own_defaults(stored))})


def _under_present_names(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add retries and delays under their newer names if they were sent under older names only."""
    added = {new: stored[old] for old, new in _OLD_NAMES.items() if stored.get(old) and stored.get(new) is None}
    return {**stored, **added} if added else stored


def _without_own_defaults(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    if stored.keys().isdisjoint(_OWN_DEFAULTS) and stored.keys().isdisjoint(_FOR_RULES_ALONE):
        return stored
    return {
        name: value
        for name, value in stored.items()
        if name not in _FOR_RULES_ALONE and not (name in _OWN_DEFAULTS and value == _OWN_DEFAULTS[name])
    }
