"""Flows: identified by name, created once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from orchestration.new_names import refuse_deceptive
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.errors import FlowNotFound
from runs.flow_runs.services import delete_flow_runs
from runs.models import Flow


@repeated_on_conflict
def create_flow(*, name: str, tags: Sequence[str] = (), now: datetime) -> tuple[Flow, bool]:
    """Return the flow of this name, and whether it is new. An existing flow keeps its tags."""
    # Nearly always the flow exists; reading first keeps such requests out of the queue of writers.
    if flow := Flow.objects.filter(name=name).first():
        return flow, False
    refuse_deceptive(name)
    with write_transaction():
        return Flow.objects.get_or_create(name=name, defaults={"tags": list(tags), "created": now})


def update_flow(*, flow_id: UUID, tags: Sequence[str], now: datetime) -> None:
    with write_transaction():
        if not Flow.objects.filter(pk=flow_id).update(tags=list(tags), updated=now):
            raise FlowNotFound(id=flow_id)


@repeated_on_conflict
def delete_flow(*, flow_id: UUID) -> None:
    """Delete the flow with its runs and deployments."""
    with write_transaction():
        flow = Flow.objects.filter(pk=flow_id).first()
        if flow is None:
            raise FlowNotFound(id=flow_id)
        delete_flow_runs(flow.runs.values("pk"))
        flow.delete()
