"""Search by a pasted id, address or log line, which opens the object that it names."""

from __future__ import annotations

import re
from uuid import UUID

from django.urls import reverse

from deployments.models import Deployment
from runs.models import Flow, FlowRun, TaskRun

ID = re.compile(r"\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b", re.IGNORECASE)
KINDS = (
    (FlowRun, "runs:run"),
    (TaskRun, "runs:task-run"),
    (Flow, "runs:flow"),
    (Deployment, "deployments:deployment"),
)
# A pasted line may have other ids before that of its run.
MOST_IDS = 5


def address_of_id(text: str) -> str | None:
    """Return the page of the first object that an id in the text names; None if there is none."""
    for found in ID.findall(text)[:MOST_IDS]:
        for model, page in KINDS:
            if model.objects.filter(pk=UUID(found)).exists():
                return reverse(page, args=[UUID(found)])
    return None
