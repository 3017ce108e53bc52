"""From entries to the pages of what they are about, and from there to the history of its changes."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Model
from django.urls import reverse

from orion_site.audit.subjects import subjects
from runs.models import Artifact, FlowRun, TaskRun

_PAGES = {
    "flow-run": "runs:run",
    "task-run": "runs:task-run",
    "flow": "runs:flow",
    "artifact": "runs:artifact",
    "bulk-action": "runs:bulk-action",
    "problem": "runs:problem",
    "deployment": "deployments:deployment",
    "backfill": "deployments:backfill",
    "calendar": "deployments:calendar",
    "work-queue": "deployments:queue",
    "agent": "deployments:agent",
    "tag-limit": "deployments:tag-limit",
    "global-limit": "deployments:global-limit",
    "block": "deployments:block",
    "variable": "deployments:edit-variable",
    "automation": "events:automation",
    "notification-policy": "events:policy",
}
_RUNS: dict[type[Model], str] = {FlowRun: "flow-run", TaskRun: "task-run", Artifact: "artifact"}


def page_of(kind: str, object_id: str) -> str:
    """The address of an object's page, whether it is still there or not; empty where there is none."""
    try:
        return reverse(_PAGES[kind], args=[UUID(object_id)]) if kind in _PAGES else ""
    except ValueError:
        return ""


def history_of(row: Model) -> str:
    """The address of the entries about a row; empty where there are none of its kind."""
    subject = subjects().get(row._meta.db_table)
    kind = subject.kind if subject else _RUNS.get(type(row), "")
    return f"{reverse('audit')}?{urlencode({'object': f'{kind}:{row.pk}'})}" if kind else ""
