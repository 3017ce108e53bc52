"""Views of collections: the types of workers, and empty views of blocks and flows."""

from __future__ import annotations

from typing import Any

from deployments.work.core.worker_types import worker_types
from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orion_site.accounts.permissions import Action

VIEWS = {
    "aggregate-worker-metadata": worker_types,
    "aggregate-block-metadata": dict,
    "aggregate-flow-metadata": dict,
    "demo-flows": dict,
}


class ReadCollectionView(Operation):
    """List the types of work pools with their job templates. The views of blocks and flows are empty."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: dict[str, Any]}

    def perform(self, view: str) -> dict[str, Any]:
        if view not in VIEWS:
            raise Refused(f"View {view} not found in registry", 404)
        return VIEWS[view]()
