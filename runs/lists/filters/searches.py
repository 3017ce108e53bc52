"""Searches over several kinds of rows: runs of flows that match, flows that have matching runs, and so on.

A filter on another kind of row requires that a related row exists; even an empty one does. Towards a single parent the
condition is a subquery with IN, which both databases turn into an index lookup; towards many children it is EXISTS,
which stops at the first.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, F, Func, OuterRef, Q, QuerySet

from deployments.models import Deployment, WorkPool, WorkQueue
from orionflow.contract.wire import Wire
from runs.lists.filters.conditions import matched
from runs.lists.filters.resources import (
    ArtifactCollectionFilter,
    ArtifactFilter,
    DeploymentFilter,
    FlowFilter,
    FlowRunFilter,
    RunFilter,
    TaskRunFilter,
    WorkPoolFilter,
    WorkQueueFilter,
)
from runs.models import Artifact, Flow, FlowRun, TaskRun
from runs.roll_ups.selectors import ALL_TASK_RUNS, number_of_runs

# Up to this number of matching flow runs, their task runs are read. With more, each task run is checked instead.
FEW_PARENTS = 20_000
# Up to this part of all task runs, SQLite counts flow runs, and finds flows, by those that match. With more, one is
# soon found in each flow and flow run.
FEW_TASK_RUNS = 1 / 10
# Up to this number of matching flows, their runs are sought by the ids of the flows.
FEW_FLOWS = 100
# Up to this number of flow runs of these, SQLite finds their task runs through an index of flows.
FEW_RUNS_OF_FLOWS = 100_000

# A query for ids, or the ids.
Ids = QuerySet[Any, Any] | list[UUID]


class Search(Wire):
    """The fields that all searches over runs have."""

    flows: FlowFilter | None = None
    flow_runs: FlowRunFilter | None = None
    task_runs: TaskRunFilter | None = None
    deployments: DeploymentFilter | None = None

    def pools(self) -> WorkPoolFilter | None:
        return getattr(self, "work_pools", None)

    def queues(self) -> WorkQueueFilter | None:
        # One endpoint has another name for this field.
        return getattr(self, "work_pool_queues", None) or getattr(self, "work_queues", None)


class FlowSearch(Search):
    work_pools: WorkPoolFilter | None = None


class FlowRunSearch(FlowSearch):
    work_pool_queues: WorkQueueFilter | None = None


class FlowRunHistorySearch(FlowSearch):
    work_queues: WorkQueueFilter | None = None


class ArtifactSearch(Search):
    artifacts: ArtifactFilter | None = None


class LatestArtifactSearch(Search):
    artifacts: ArtifactCollectionFilter | None = None


def flow_runs_matching(search: Search) -> QuerySet[FlowRun]:
    condition = _flow_run_condition(search)
    if search.task_runs is not None:
        task_runs = TaskRun.objects.filter(matched(search.task_runs), flow_run=OuterRef("pk"))
        condition &= Q(Exists(task_runs))
    return FlowRun.objects.filter(condition)


def of_few_task_runs(search: Search) -> QuerySet[FlowRun] | None:
    """Return the matching flow runs by the matching task runs, if these are asked for and few; otherwise None.

    Only on SQLite: PostgreSQL joins them by itself, and counting would cost it more. Flow runs that are named by their
    ids are looked up sooner.
    """
    if connection.vendor != "sqlite" or search.task_runs is None:
        return None
    if search.flow_runs is not None and search.flow_runs.names_ids:
        return None
    few = int(number_of_runs(ALL_TASK_RUNS) * FEW_TASK_RUNS)
    task_runs = TaskRun.objects.filter(matched(search.task_runs)).order_by()
    if task_runs[few : few + 1].exists():
        return None
    parents = task_runs.filter(flow_run__isnull=False).values("flow_run")
    return FlowRun.objects.filter(_flow_run_condition(search), pk__in=parents)


def task_runs_matching(search: Search) -> QuerySet[TaskRun]:
    condition = matched(search.task_runs)
    if _asks_for_flow_run(search):
        condition &= Q(flow_run__in=_parents(search).values("pk"))
    return TaskRun.objects.filter(condition)


def _parents(search: Search) -> QuerySet[FlowRun]:
    """Return the matching flow runs, as a subquery for their task runs.

    The indexes by flow have no ids of runs, so SQLite looks up each row. Where flows have many runs, of which nothing
    else is asked, it is faster to read all runs in their order. SQLite does so if the column is part of an expression.
    """
    asks_for_more = search.flow_runs is not None or search.deployments is not None
    if connection.vendor != "sqlite" or search.flows is None or asks_for_more:
        return FlowRun.objects.filter(_flow_run_condition(search))
    flows = _ids_of_flows(search.flows)
    of_flows = FlowRun.objects.filter(flow__in=flows).order_by()
    if not of_flows[FEW_RUNS_OF_FLOWS : FEW_RUNS_OF_FLOWS + 1].exists():
        return FlowRun.objects.filter(_flow_run_condition(search, flows))
    others = _flow_run_condition(search.model_copy(update={"flows": None}))
    unindexed = Func(F("flow_id"), template="+%(expressions)s", output_field=Flow._meta.pk)
    return FlowRun.objects.alias(unindexed_flow=unindexed).filter(others, unindexed_flow__in=flows)


def listed_task_runs(search: Search) -> QuerySet[TaskRun]:
    """Return the matching task runs: read from their flow runs if these are few, otherwise checked one by one."""
    are_named = search.flow_runs is not None and search.flow_runs.names_ids
    if _asks_for_flow_run(search) and not are_named:
        flow_runs = FlowRun.objects.filter(_flow_run_condition(search))
        if flow_runs.order_by()[FEW_PARENTS : FEW_PARENTS + 1].exists():
            has_parent = Q(Exists(flow_runs.filter(pk=OuterRef("flow_run"))))
        else:
            has_parent = Q(flow_run__in=flow_runs.values("pk"))
        return TaskRun.objects.filter(matched(search.task_runs) & has_parent)
    return task_runs_matching(search)


def in_any_order(matching: QuerySet[Any], search: Search) -> QuerySet[Any]:
    """Let SQLite find runs without tags in their index.

    Not for the rows of a list: it would sort all runs without tags, which may be nearly all runs.
    """
    asked: RunFilter | None = search.flow_runs if matching.model is FlowRun else search.task_runs
    if connection.vendor != "sqlite" or asked is None or not asked.has_no_tags:
        return matching
    return matching.filter(tags__orion_is_nothing=True)


def flows_matching(search: Search) -> QuerySet[Flow]:
    condition = matched(search.flows)
    if search.deployments is not None or search.pools() is not None:
        condition &= Q(Exists(_deployments(search).filter(flow=OuterRef("pk"))))
    if search.flow_runs is not None or search.task_runs is not None:
        through = Search.model_construct(flow_runs=search.flow_runs, task_runs=search.task_runs)
        few = of_few_task_runs(through)
        if few is not None:
            condition &= Q(pk__in=few.values("flow"))
        else:
            condition &= Q(Exists(flow_runs_matching(through).filter(flow=OuterRef("pk"))))
    return Flow.objects.filter(condition)


def artifacts_matching(search: ArtifactSearch | LatestArtifactSearch) -> QuerySet[Artifact]:
    condition = matched(search.artifacts)
    if _asks_for_flow_run(search):
        condition &= Q(flow_run_id__in=FlowRun.objects.filter(_flow_run_condition(search)).values("pk"))
    if search.task_runs is not None:
        condition &= Q(task_run_id__in=TaskRun.objects.filter(matched(search.task_runs)).values("pk"))
    return Artifact.objects.filter(condition)


def _asks_for_flow_run(search: Search) -> bool:
    return any(part is not None for part in (search.flows, search.flow_runs, search.deployments))


def _flow_run_condition(search: Search, flows: Ids | None = None) -> Q:
    """Return the conditions on the flow run itself, on the rows that it belongs to, and on its queue and pool.

    `flows` are the ids of the matching flows, if they are known.
    """
    condition = matched(search.flow_runs)
    if search.flows is not None:
        condition &= Q(flow__in=_ids_of_flows(search.flows) if flows is None else flows)
    if search.deployments is not None:
        deployments = Deployment.objects.filter(matched(search.deployments))
        condition &= Q(deployment_id__in=deployments.values("pk"))
    if search.pools() is not None:
        queues = WorkQueue.objects.filter(work_pool__in=WorkPool.objects.filter(matched(search.pools())).values("pk"))
        condition &= Q(work_queue_id__in=queues.values("pk"))
    if search.queues() is not None:
        condition &= Q(work_queue_id__in=WorkQueue.objects.filter(matched(search.queues())).values("pk"))
    return condition


def _ids_of_flows(wanted: FlowFilter) -> Ids:
    """Return the ids of flows: as values if they are few.

    With a subquery SQLite reads all runs, in case they have many.
    """
    condition = matched(wanted)
    ids = wanted.id.any_ if wanted.id else None
    if ids is not None and condition == Q(id__in=ids):
        return ids
    flows = Flow.objects.filter(condition).values_list("pk", flat=True)
    few = list(flows[: FEW_FLOWS + 1])
    return few if len(few) <= FEW_FLOWS else flows


def _deployments(search: Search) -> QuerySet[Deployment]:
    found = Deployment.objects.filter(matched(search.deployments))
    if search.pools() is None:
        return found
    return found.filter(work_queue__work_pool__in=WorkPool.objects.filter(matched(search.pools())).values("pk"))
