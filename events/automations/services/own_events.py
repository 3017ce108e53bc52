"""Record the firings and actions of automations as events, which other automations may expect."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.models import ActionRun, Automation
from events.recording.record import record_event
from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE

# The kinds of objects on which actions act, as in the last part of their types.
_KINDS = ("deployment", "work-queue", "work-pool", "automation")


def record_triggered(automation: Automation, event: Mapping[str, Any] | None, now: datetime) -> None:
    cause = [{RESOURCE_ID: f"prefect.event.{event['id']}", RESOURCE_ROLE: "triggering-event"}] if event else []
    payload = {"triggering_event": None if event is None else dict(event)}
    record_event("prefect.automation.triggered", resource=_labels(automation), related=cause, payload=payload, now=now)


def record_action(action_run: ActionRun, error: str, now: datetime) -> None:
    """Record that an action was run, or why it failed."""
    automation, action = action_run.automation, action_run.action
    actions = [*automation.actions, *automation.actions_on_trigger]
    payload: dict[str, Any] = {
        "action_index": actions.index(action) if action in actions else 0,
        "action_type": action["type"],
        "invocation": str(action_run.pk),
    }
    if error:
        payload["reason"] = error[:1000]
    outcome = "failed" if error else "executed"
    record_event(
        f"prefect.automation.action.{outcome}",
        resource=_labels(automation),
        related=_targets(action),
        payload=payload,
        now=now,
    )


def _labels(automation: Automation) -> dict[str, str]:
    trigger = automation.trigger
    posture = {"prefect.posture": trigger["posture"]} if "posture" in trigger else {}
    return {
        RESOURCE_ID: f"prefect.automation.{automation.pk}",
        "prefect.resource.name": automation.name,
        "prefect.trigger-type": trigger["type"],
        **posture,
    }


def _targets(action: Mapping[str, Any]) -> list[dict[str, str]]:
    named = ((kind, action.get(f"{kind.replace('-', '_')}_id")) for kind in _KINDS if action["type"].endswith(kind))
    return [{RESOURCE_ID: f"prefect.{kind}.{id}", RESOURCE_ROLE: "target"} for kind, id in named if id]
