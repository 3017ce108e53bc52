"""The runs before and after a run: of its deployment, or of its flow if it has none."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, When

from orchestration.errors import FlowRunNotFound
from orionflow.contract.states import BAD, in_order
from runs.models import FlowRun
from runs.pages.selectors.reach import BY


def neighbours(now: datetime) -> dict[str, Any]:
    """Return annotations of a flow run: the ids of the previous and the next run. Each is one lookup in an index.

    Planned runs are left out.
    """
    return {"previous_id": _of_same(_before(), now), "next_id": _of_same(_after(), now)}


def next_failed(*, run_id: UUID) -> UUID | None:
    """Return the first run after this one that failed or crashed. Two queries."""
    run = FlowRun.objects.only(BY, "deployment_id", "flow_id").filter(pk=run_id).first()
    if run is None:
        raise FlowRunNotFound(id=run_id)
    if run.expected_start_time is None:
        return None
    mine = {"deployment_id": run.deployment_id} if run.deployment_id else {"flow_id": run.flow_id}
    later = Q(expected_start_time=run.expected_start_time, pk__gt=run.pk) | ~Q(
        expected_start_time=run.expected_start_time
    )
    runs = FlowRun.objects.filter(later, **mine, expected_start_time__gte=run.expected_start_time)
    # One lookup for each state: within several, the index is not in the order of time.
    first, second = (
        FlowRun.objects.filter(pk__in=runs.filter(state_type=one).order_by(BY, "pk").values("pk")[:1])
        .order_by()
        .values_list(BY, "pk")
        for one in in_order(BAD)
    )
    found = sorted(first.union(second, all=True))
    return found[0][1] if found else None


def _before() -> QuerySet[FlowRun]:
    same_time = Q(expected_start_time=OuterRef(BY), pk__gte=OuterRef("pk"))
    return FlowRun.objects.filter(expected_start_time__lte=OuterRef(BY)).exclude(same_time).order_by(f"-{BY}", "-pk")


def _after() -> QuerySet[FlowRun]:
    same_time = Q(expected_start_time=OuterRef(BY), pk__lte=OuterRef("pk"))
    return FlowRun.objects.filter(expected_start_time__gte=OuterRef(BY)).exclude(same_time).order_by(BY, "pk")


def _of_same(runs: QuerySet[FlowRun], now: datetime) -> Any:
    runs = runs.filter(expected_start_time__lte=now)
    of_deployment = runs.filter(deployment_id=OuterRef("deployment_id")).values("pk")[:1]
    of_flow = runs.filter(flow_id=OuterRef("flow_id")).values("pk")[:1]
    return Case(When(deployment_id__isnull=False, then=Subquery(of_deployment)), default=Subquery(of_flow))
