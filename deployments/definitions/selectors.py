"""Selectors for deployments in searches."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from deployments.models import Deployment, WorkPool, WorkQueue
from runs.lists.filters.conditions import matched
from runs.lists.filters.resources import WorkQueueFilter
from runs.lists.filters.searches import FlowSearch, Search, flow_runs_matching
from runs.models import Flow


class DeploymentSearch(FlowSearch):
    work_pool_queues: WorkQueueFilter | None = None


def deployments_matching(search: DeploymentSearch) -> QuerySet[Deployment]:
    condition = matched(search.deployments)
    if search.flows is not None:
        condition &= Q(flow__in=Flow.objects.filter(matched(search.flows)).values("pk"))
    if search.flow_runs is not None or search.task_runs is not None:
        through = Search.model_construct(flow_runs=search.flow_runs, task_runs=search.task_runs)
        condition &= Q(Exists(flow_runs_matching(through).filter(deployment_id=OuterRef("pk"))))
    if search.work_pools is not None:
        pools = WorkPool.objects.filter(matched(search.work_pools))
        condition &= Q(work_queue__work_pool__in=pools.values("pk"))
    if search.work_pool_queues is not None:
        queues = WorkQueue.objects.filter(matched(search.work_pool_queues))
        condition &= Q(work_queue__in=queues.values("pk"))
    return Deployment.objects.filter(condition)
