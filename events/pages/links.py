"""Resources of events as pages show them: kind, name, and a link to their page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.urls import reverse

from events.pages.selectors.resources import names_of, object_of
from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE

NAME = "prefect.resource.name"
_PAGES = {
    "prefect.flow-run": "runs:run",
    "prefect.task-run": "runs:task-run",
    "prefect.flow": "runs:flow",
    "prefect.deployment": "deployments:deployment",
    "prefect.work-queue": "deployments:queue",
    "prefect.automation": "events:automation",
    "orion.problem": "runs:problem",
}
# Kinds of which the objects have no pages.
_KINDS = {*_PAGES, "prefect.work-pool", "orion.setting"}


@dataclass(frozen=True, slots=True)
class Named:
    """One resource of an event: its id, kind, name and role, the address of its page, and all its labels.

    If it `is_nameless`, its name is the first part of its id.
    """

    id: str
    kind: str
    name: str
    role: str
    address: str
    labels: Mapping[str, str]
    is_nameless: bool


def named(resources: Iterable[Mapping[str, str]]) -> list[Named]:
    """Return the resources with the names in their labels or, without those, the current names of the objects."""
    found = list(resources)
    nameless = [str(labels.get(RESOURCE_ID, "")) for labels in found if not labels.get(NAME)]
    names = names_of(nameless)
    return [_named(labels, names) for labels in found]


def _named(labels: Mapping[str, str], names: Mapping[str, str]) -> Named:
    resource_id = str(labels.get(RESOURCE_ID, ""))
    name = str(labels.get(NAME) or names.get(resource_id) or "")
    role = str(labels.get(RESOURCE_ROLE, ""))
    shown = name or _short(resource_id)
    return Named(resource_id, kind_of(resource_id), shown, role, address_of(resource_id), labels, is_nameless=not name)


def kind_of(resource_id: str) -> str:
    """Return the kind in words; empty for resources that are not Orion's own."""
    kind, _, _ = resource_id.rpartition(".")
    return kind.partition(".")[2].replace("-", " ") if kind in _KINDS else ""


def _short(resource_id: str) -> str:
    """Return the start of the id of one of Orion's objects, next to which its kind is shown; else the whole id."""
    kind, row_id = object_of(resource_id)
    return str(row_id)[:8] if row_id and kind in _KINDS else resource_id


def address_of(resource_id: str) -> str:
    """Return the address of the page about a resource; empty if there is none."""
    kind, row_id = object_of(resource_id)
    return reverse(_PAGES[kind], args=[row_id]) if row_id and kind in _PAGES else ""
