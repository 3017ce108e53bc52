"""What the texts of an automation may name: itself, the event, and the things that the event is about."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from deployments.models import Deployment, WorkPool, WorkQueue
from events.core.matching import RESOURCE_ID
from events.models import Firing
from runs.models import Flow, FlowRun

_KINDS: dict[str, Any] = {
    "flow-run": FlowRun,
    "flow": Flow,
    "deployment": Deployment,
    "work-queue": WorkQueue,
    "work-pool": WorkPool,
}


def values_for(firing: Firing) -> dict[str, Any]:
    event = firing.event or {}
    automation = {"id": firing.automation_id, "name": firing.automation.name}
    values: dict[str, Any] = {"automation": automation, "event": event}
    for labels in (event.get("resource", {}), *event.get("related", ())):
        kind, _, id = str(labels.get(RESOURCE_ID, "")).removeprefix("prefect.").rpartition(".")
        if kind in _KINDS and (found := _row(kind, id)):
            values.setdefault(kind.replace("-", "_"), found)
    return values


def _row(kind: str, id: str) -> dict[str, Any] | None:
    try:
        row = _KINDS[kind].objects.filter(pk=UUID(id)).first()
    except ValueError:
        return None
    return row and {"id": row.pk, "name": row.name, "tags": getattr(row, "tags", []), **_of_run(row)}


def _of_run(row: Any) -> dict[str, Any]:
    if not isinstance(row, FlowRun):
        return {}
    state = {"name": row.state_name, "type": row.state_type, "timestamp": row.state_timestamp}
    return {"state": state, "parameters": row.parameters, "run_count": row.run_count, "start_time": row.start_time}
