"""Links from entries to the pages of their objects, and from objects to the history of their changes."""

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
    """Return the address of an object's page, even if the object was deleted; empty if its kind has no page."""
    try:
        return reverse(_PAGES[kind], args=[UUID(object_id)]) if kind in _PAGES else ""
    except ValueError:
        return ""


def history_of(row: Model) -> str:
    """Return the address of the entries about a row; empty if entries of its kind are not recorded."""
    subject = subjects().get(row._meta.db_table)
    kind = subject.kind if subject else _RUNS.get(type(row), "")
    return f"{reverse('audit')}?{urlencode({'object': f'{kind}:{row.pk}'})}" if kind else ""
