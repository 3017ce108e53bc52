"""Resources of events as links to the pages that show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.urls import reverse

from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE

_PAGES = {
    "prefect.flow-run": "runs:run",
    "prefect.task-run": "runs:task-run",
    "prefect.flow": "runs:flow",
    "prefect.deployment": "deployments:deployment",
    "prefect.work-queue": "deployments:queue",
    "prefect.automation": "events:automation",
}


@dataclass(frozen=True, slots=True)
class Named:
    """One resource of an event: its id, its name, its role, the address of its page, and all its labels."""

    id: str
    name: str
    role: str
    address: str
    labels: Mapping[str, str]


def named(labels: Mapping[str, str]) -> Named:
    resource_id = str(labels.get(RESOURCE_ID, ""))
    name = str(labels.get("prefect.resource.name", "")) or resource_id
    return Named(resource_id, name, str(labels.get(RESOURCE_ROLE, "")), address_of(resource_id), labels)


def address_of(resource_id: str) -> str:
    """The address of the page about a resource; empty where there is none."""
    kind, _, text = resource_id.rpartition(".")
    try:
        return reverse(_PAGES[kind], args=[UUID(text)]) if kind in _PAGES else ""
    except ValueError:
        return ""
