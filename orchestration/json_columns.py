"""Conversion between JSON columns of runs and states and values of the rules: details, policies, tags, trails."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from orchestration.core.decide import Decision, Judgement
from orchestration.core.runs import Overlap, RunPolicy
from orchestration.core.states import State, StateDetails, is_unpersisted
from orchestration.core.verdicts import Accept, Wait
from orchestration.tables import json_text


def stored_data(data: Any) -> str | None:
    """Return the JSON of a state's data. Data marked `unpersisted` is only for the answer and is not stored."""
    return None if data is None or is_unpersisted(data) else json_text(data)


# --- state details -----------------------------------------------------------------------------------------------


def details_text(details: StateDetails) -> str:
    """Return the fields that are set, as JSON, without the ids of runs, which follow from the row."""
    kept = details.given_fields()
    kept.pop("flow_run_id", None)
    kept.pop("task_run_id", None)
    return json_text(kept) if kept else "{}"


def details_from(text: str, flow_run_id: UUID | None, task_run_id: UUID | None) -> StateDetails:
    """Return the details that are stored as this JSON, with the ids of the runs of the row."""
    if text == "{}":
        return StateDetails(flow_run_id=flow_run_id, task_run_id=task_run_id)
    return with_own_ids(StateDetails.from_json(json.loads(text)), flow_run_id, task_run_id)


def with_own_ids(details: StateDetails, flow_run_id: UUID | None, task_run_id: UUID | None) -> StateDetails:
    if details.flow_run_id == flow_run_id and details.task_run_id == task_run_id:
        return details
    return details.revised(flow_run_id=flow_run_id, task_run_id=task_run_id)


# --- policies and tags -------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def tags_from(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


@lru_cache(maxsize=1024)
def policy_from(text: str) -> RunPolicy:
    """Return the policy in `empirical_policy`. Retries and delays may have the names that older clients use."""
    if text == "{}":
        return RunPolicy()
    given = json.loads(text)
    retries, delay = given.get("retries"), given.get("retry_delay")
    if retries is None:
        retries = given.get("max_retries") or None
    if delay is None:
        delay = given.get("retry_delay_seconds") or None
    return RunPolicy(
        retries=retries,
        retry_delay=tuple(delay) if isinstance(delay, list) else delay,
        retry_backoff_factor=given.get("retry_backoff_factor"),
        retry_delay_max=given.get("retry_delay_max"),
        retry_jitter_factor=given.get("retry_jitter_factor"),
        crash_retries=given.get("crash_retries") or 0,
        crash_count=given.get("crash_count") or 0,
        handovers=given.get("handovers") or 0,
        unstarted=given.get("unstarted") or 0,
        resumes=given.get("resumes") or 0,
        overlap=Overlap(given.get("overlap") or Overlap.ALLOW),
        overlap_scope=given.get("overlap_scope") or "flow",
        pause_keys=frozenset(given.get("pause_keys") or ()),
        resuming=bool(given.get("resuming")),
        retry_type=given.get("retry_type"),
        retried_from_task=bool(given.get("retried_from_task")),
    )


_POLICY_FIELDS = tuple(f.name for f in fields(RunPolicy))


def policy_text(text: str, before: RunPolicy, after: RunPolicy) -> str:
    """Return the stored policy with the fields that the rules changed. Everything else stays as its author wrote it."""
    stored = json.loads(text)
    for name in _POLICY_FIELDS:
        value = getattr(after, name)
        if value != getattr(before, name):
            stored[name] = sorted(value) if isinstance(value, frozenset) else value
    return json_text(stored)


# --- trails and refusals -----------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def trail_text(trail: tuple[Judgement, ...]) -> str:
    return json_text(_lines_of(trail))


def _lines_of(trail: tuple[Judgement, ...]) -> list[list[str]]:
    return [[line.rule, line.verdict, line.reason] for line in trail]


def trail_from(text: str) -> tuple[Judgement, ...]:
    return tuple(Judgement(*line) for line in json.loads(text))


def verdict_name(decision: Decision) -> str:
    return "ACCEPT" if isinstance(decision.verdict, Accept) else type(decision.verdict).__name__.upper()


def refusal_text(decision: Decision, proposed: State, now: datetime) -> str:
    """Return as JSON why a proposal wrote nothing, so that `why` can explain it."""
    return json_text(
        {
            "at": now,
            "verdict": verdict_name(decision),
            "proposed": {"type": proposed.type.value, "name": proposed.name},
            "reason": decision.verdict.reason,
            "seconds": decision.verdict.seconds if isinstance(decision.verdict, Wait) else None,
            "trail": _lines_of(decision.trail),
        }
    )
