"""Names of objects, for resources whose labels do not contain them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from django.db.models import Model

from deployments.models import Deployment, WorkPool, WorkQueue
from events.models import Automation
from runs.models import Flow, FlowRun, TaskRun

_MODELS: Mapping[str, type[Model]] = {
    "prefect.flow-run": FlowRun,
    "prefect.task-run": TaskRun,
    "prefect.flow": Flow,
    "prefect.deployment": Deployment,
    "prefect.work-queue": WorkQueue,
    "prefect.work-pool": WorkPool,
    "prefect.automation": Automation,
}


def names_of(resource_ids: Iterable[str]) -> dict[str, str]:
    """Return the current names of objects by their resource ids, with one query for each kind."""
    wanted: defaultdict[str, dict[UUID, str]] = defaultdict(dict)
    for resource_id in resource_ids:
        kind, row_id = object_of(resource_id)
        if row_id is not None and kind in _MODELS:
            wanted[kind][row_id] = resource_id
    return {
        ids[row_id]: name
        for kind, ids in wanted.items()
        for row_id, name in _MODELS[kind]._default_manager.filter(pk__in=ids).values_list("pk", "name")
    }


def object_of(resource_id: str) -> tuple[str, UUID | None]:
    """Return the kind in a resource id, and the id of the object; None if that is not a UUID."""
    kind, _, text = resource_id.rpartition(".")
    try:
        return kind, UUID(text)
    except ValueError:
        return kind, None
