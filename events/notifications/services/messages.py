"""Values for the templates of an automation: the automation, its event, and the objects that the event is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from deployments.models import Deployment, WorkPool, WorkQueue
from events.models import ActionRun
from orionflow.contract.kinds import RESOURCE_ID
from runs.models import Flow, FlowRun, TaskRun

_KINDS: dict[str, Any] = {
    "flow-run": FlowRun,
    "task-run": TaskRun,
    "flow": Flow,
    "deployment": Deployment,
    "work-queue": WorkQueue,
    "work-pool": WorkPool,
}
# The pages of objects; the other kinds have none.
_PAGES = {"flow-run": "runs", "task-run": "task-runs", "flow": "flows"}
_OF_STATE = ("name", "type", "timestamp", "message")
RESOURCE_NAME = "prefect.resource.name"


def values_for(action_run: ActionRun) -> dict[str, Any]:
    reported = action_run.event or {}
    resources = [_resource(labels) for labels in (reported.get("resource", {}), *reported.get("related", ()))]
    event = {**reported, "resource": resources[0], "related": resources[1:]} if reported else {}
    automation = {"id": action_run.automation_id, "name": action_run.automation.name}
    values: dict[str, Any] = {"automation": automation, "event": event}
    for labels in resources:
        kind, id = _kind_and_id(labels)
        if kind in _KINDS and (found := _row(kind, id, labels)):
            values.setdefault(kind.replace("-", "_"), found)
    return values


def _kind_and_id(labels: Mapping[str, Any]) -> tuple[str, str]:
    kind, _, id = str(labels.get(RESOURCE_ID, "")).removeprefix("prefect.").rpartition(".")
    return kind, id


def _resource(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the labels, with short names for two of them, and the address of the page."""
    kind, id = _kind_and_id(labels)
    short = {"id": labels.get(RESOURCE_ID), "name": labels.get(RESOURCE_NAME), "url": _address(kind, id)}
    return {**short, **labels}


def _address(kind: str, id: object) -> str:
    return f"{settings.ORION_EXTERNAL_URL}/{_PAGES[kind]}/{id}" if kind in _PAGES else ""


def _row(kind: str, id: str, labels: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        row = _KINDS[kind].objects.filter(pk=UUID(id)).first()
    except ValueError:
        return None
    if row is None:
        return None
    common = {"id": row.pk, "name": row.name, "tags": getattr(row, "tags", []), "url": _address(kind, row.pk)}
    return {**common, **_of_run(row, labels)}


def _of_run(row: Any, labels: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(row, FlowRun):
        return {}
    state = {"name": row.state_name, "type": row.state_type, "timestamp": row.state_timestamp}
    # The run may have changed since; the text is about the state in the event.
    reported = {name: labels[f"prefect.state-{name}"] for name in _OF_STATE if f"prefect.state-{name}" in labels}
    others = {"parameters": row.parameters, "run_count": row.run_count, "start_time": row.start_time}
    return {"state": {**state, **reported}, **others}
