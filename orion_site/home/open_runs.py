"""Runs that have started but not ended, with the leases of their agents: which runs are active, and which are stuck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Case, IntegerField, OuterRef, Subquery, When

from orchestration.core.states import StateType
from runs.lists.filters.conditions import is_tagged_with_all
from runs.models import Flow, FlowRun, FlowRunTag

# The page shows the number of active runs up to this, and "1 000+" beyond.
LOOKED_AT = 1_000
ON_THEIR_WAY = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING, StateType.PAUSED)


@dataclass(frozen=True, slots=True)
class OpenRun:
    id: UUID
    name: str
    flow_name: str
    state_type: str
    state_name: str
    state_timestamp: datetime | None
    start_time: datetime | None
    tags: Sequence[str]
    work_queue_id: UUID | None
    agent: str | None
    lease_expires_at: datetime | None
    flow_id: UUID
    deployment_id: UUID | None
    total_run_time: timedelta


def open_runs(*, tags: Sequence[str]) -> list[OpenRun]:
    """Return runs that were claimed or started and have not ended, those with all these tags first.

    One query, by the index of states.
    """
    # A subquery, because with a join a planner could start from the flows, and read all their runs.
    flow_name = Flow.objects.filter(pk=OuterRef("flow_id")).values("name")[:1]
    runs = FlowRun.objects.open().in_state(*ON_THEIR_WAY).annotate(flow_name=Subquery(flow_name)).order_by()
    if tags:
        is_chosen = is_tagged_with_all(FlowRunTag, tags)
        runs = runs.order_by(Case(When(is_chosen, then=0), default=1, output_field=IntegerField()))
    rows = runs.values_list(
        "id",
        "name",
        "flow_name",
        "state_type",
        "state_name",
        "state_timestamp",
        "start_time",
        "tags",
        "work_queue_id",
        "lease__worker__name",
        "lease__expires_at",
        "flow_id",
        "deployment_id",
        "total_run_time",
    )
    return [OpenRun(*row) for row in rows[: LOOKED_AT + 1]]
