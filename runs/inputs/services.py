"""Values sent to a flow run from outside, at most one per key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from orchestration.errors import FlowRunNotFound
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.errors import FlowRunInputNotFound, InputExists
from runs.models import FlowRun, FlowRunInput


@repeated_on_conflict
def create_flow_run_input(
    *, flow_run_id: UUID, key: str, value: str, sender: str | None, now: datetime
) -> FlowRunInput:
    with write_transaction():
        if not FlowRun.objects.filter(pk=flow_run_id).exists():
            raise FlowRunNotFound(id=flow_run_id)
        if FlowRunInput.objects.filter(flow_run_id=flow_run_id, key=key).exists():
            raise InputExists(id=flow_run_id, key=key)
        return FlowRunInput.objects.create(flow_run_id=flow_run_id, key=key, value=value, sender=sender, created=now)


def delete_flow_run_input(*, flow_run_id: UUID, key: str) -> None:
    with write_transaction():
        deleted, _ = FlowRunInput.objects.filter(flow_run_id=flow_run_id, key=key).delete()
        if not deleted:
            raise FlowRunInputNotFound(id=flow_run_id, key=key)
