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
from orchestration.reading import reader
from orchestration.tables import dialect
from orionflow.contract.wire import Wire
from runs.lists.filters.conditions import MOST_TAGS_ASKED_FOR, matched
from runs.lists.filters.patterns import has_part
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
from runs.lists.filters.sorts import ORDERS, TAG_ORDERS, FlowRunSort, TaskRunSort
from runs.models import Artifact, Flow, FlowRun, TaskRun
from runs.roll_ups.selectors import ALL_TASK_RUNS, number_of_runs

# Rows of each tag that are counted, to search for the rarest tag first; with more, tags count as equally common.
COUNTED = 1000
# Up to this number of matching flow runs, their task runs are read. With more, each task run is checked instead.
FEW_PARENTS = 20_000
# Up to this part of all task runs, SQLite counts flow runs, and finds flows, by those that match. With more, one is
# soon found in each flow and flow run.
FEW_TASK_RUNS = 1 / 10
# Up to this number of matching flows, their runs are sought by the ids of the flows.
FEW_FLOWS = 100
# Up to this number of flow runs of these, SQLite finds their task runs through an index of flows.
FEW_RUNS_OF_FLOWS = 100_000
# Up to this number of matching rows, they are read and sorted. With more, the list is read in its order.
FEW_ROWS = 1_000
# Where SQLite would sort all matching rows, look first among this many times as many first rows of the list as the page
# needs, and only for rows up to the second limit.
SOUGHT, FARTHEST_SOUGHT = (5, 50), 1_000
# How many of the first rows of a list are searched for a part of names, before the names of all runs are compared.
NAMES_SEARCHED = 5_000
# Up to this number of runs with a part of a name, they are read from the index of names and sorted.
NAMED_READ = 10_000
BY_NAME = ("NAME_ASC", "NAME_DESC")
BY_NEXT_START = ("NEXT_SCHEDULED_START_TIME_ASC",)
# A line of SQLite's query plans that read and sort all matching rows before returning the first.
SORTED_WHOLE = "USE TEMP B-TREE FOR ORDER BY"


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


def _few_by_task_runs(search: Search) -> QuerySet[FlowRun] | None:
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


def _listed_task_runs(search: Search) -> QuerySet[TaskRun]:
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


def page_of_flow_runs(search: Search, sort: FlowRunSort, rows: slice) -> QuerySet[FlowRun]:
    """Return some rows of the list of flow runs, in its order."""
    ids = _ids_by_tag(search, "flow_runs", sort, rows)
    if ids is None:
        ids = _ids_of_page(flow_runs_matching(search), search, sort, rows)
    # Earlier rows are skipped in an index; only the rows of the page are read.
    return FlowRun.objects.filter(pk__in=ids).order_by(*ORDERS[sort])


def page_of_task_runs(search: Search, sort: TaskRunSort, rows: slice) -> QuerySet[TaskRun]:
    """Return some rows of the list of task runs, in its order."""
    ids = _ids_by_tag(search, "task_runs", sort, rows)
    if ids is None:
        ids = _ids_of_page(_listed_task_runs(search), search, sort, rows)
    return TaskRun.objects.filter(pk__in=ids).order_by(*ORDERS[sort])


# A query for the ids of one page, or the ids.
Ids = QuerySet[Any, Any] | list[UUID]


def _ids_of_page(matching: QuerySet[Any], search: Search, sort: FlowRunSort | TaskRunSort, rows: slice) -> Ids:
    ids = _in_order(matching, sort)
    if _chooses(search):
        part = _only_part_of_name(search, matching)
        if part is not None and rows.stop <= FARTHEST_SOUGHT and sort not in BY_NEXT_START:
            return _named_so(matching, part, sort, rows)
        few = list(_by_index(matching, search).order_by().values_list("pk", flat=True)[: FEW_ROWS + 1])
        # Few rows are sorted: in the order of the list, they might come last of all.
        whole = _in_order(matching.model._default_manager.all(), sort)
        found = few if len(few) <= FEW_ROWS else _among_first(ids, whole, rows)
        if found is not None:
            return _in_order(matching.model._default_manager.filter(pk__in=found), sort)[rows]
    return _by_next_start(matching, rows) if sort in BY_NEXT_START and matching.model is TaskRun else ids[rows]


def _by_next_start(matching: QuerySet[Any], rows: slice) -> Ids:
    """Return the ids of a page of task runs in the order of the next start.

    Only runs that have one are in an index. The others follow in the order of their ids.
    """
    waiting = matching.model._default_manager.filter(next_scheduled_start_time__isnull=False)
    few = list(waiting.order_by().values_list("pk", flat=True)[: FEW_ROWS + 1])
    # Few are named by their ids: SQLite prefers the index of another condition, even where none has a next start.
    waits = Q(pk__in=few) if len(few) <= FEW_ROWS else Q(next_scheduled_start_time__isnull=False)
    first = matching.filter(waits).values_list("pk", flat=True)
    found = list(first.order_by("next_scheduled_start_time", "pk")[rows])
    missing = rows.stop - rows.start - len(found)
    if not missing:
        return found
    skipped = max(rows.start - first.order_by().count(), 0) if not found else 0
    others = slice(skipped, skipped + missing)
    ids, whole = (
        runs.filter(~waits).order_by("pk").values_list("pk", flat=True)
        for runs in (matching, matching.model._default_manager.all())
    )
    among_first = _among_first(ids, whole, others)
    return [*found, *(ids[others] if among_first is None else among_first[others])]


def _in_order(runs: QuerySet[Any], sort: FlowRunSort | TaskRunSort) -> QuerySet[Any, Any]:
    return runs.order_by(*ORDERS[sort]).values("pk")


def _chooses(search: Search) -> bool:
    """Whether the search matches only some rows, and does not name them by their ids."""
    parts = ("flows", "flow_runs", "task_runs", "deployments")
    if not any(getattr(search, name) for name in parts) and search.pools() is None and search.queues() is None:
        return False
    return not any(asked is not None and asked.names_ids for asked in (search.flow_runs, search.task_runs))


def _only_part_of_name(search: Search, matching: QuerySet[Any]) -> str | None:
    """Return the part of names that a search asks for, if each run has to be compared and nothing else is asked for."""
    asked: RunFilter | None = search.flow_runs if matching.model is FlowRun else search.task_runs
    if asked is None or asked.name is None or asked.name.like_ is None:
        return None
    named = matching.model._default_manager.filter(name__orion_like=asked.name.like_)
    return asked.name.like_ if matching.query.where == named.query.where else None


def _named_so(named: QuerySet[Any], part: str, sort: FlowRunSort | TaskRunSort, rows: slice) -> Ids:
    """Return the ids of a page of runs whose names have a part.

    The first runs of the list are searched. If too few match, the ids of all matching runs are read from the index of
    names, unless there are many: then the list is read in its order, where a match is never far.
    """
    if sort in BY_NAME:
        return _in_order(named, sort)[rows]
    runs = named.model._default_manager
    found = _among_first_names(runs.order_by(*ORDERS[sort]).values("pk", "name")[:NAMES_SEARCHED], part, rows.stop)
    if len(found) < rows.stop:
        if sort == "ID_DESC":
            return _newest_named(named, rows)
        found = list(named.order_by().values_list("pk", flat=True)[: NAMED_READ + 1])
    return _in_order(named if len(found) > NAMED_READ else runs.filter(pk__in=found), sort)[rows]


def _newest_named(named: QuerySet[Any], rows: slice) -> list[UUID]:
    """Return the ids of a page of runs with such names, however many there are: the index of names has the ids, too.

    As a materialized query, because planners would read the table in the order of ids otherwise.
    """
    sought, values = named.order_by().values("pk").query.sql_with_params()
    with reader().cursor() as cursor:
        cursor.execute(
            f"WITH named(id) AS MATERIALIZED ({sought}) SELECT id FROM named ORDER BY id DESC LIMIT %s OFFSET %s",
            [*values, rows.stop - rows.start, rows.start],
        )
        return [dialect().read_uuid(found) for (found,) in cursor.fetchall()]


def _among_first_names(first: QuerySet[Any, Any], part: str, most: int) -> list[UUID]:
    """Return the ids of those of these runs whose names have the part, at most `most`.

    In SQL, because a filter cannot follow a slice in the ORM.
    """
    sought, values = first.query.sql_with_params()
    condition, patterns = has_part("first.name", part, connection.vendor)
    with reader().cursor() as cursor:
        cursor.execute(f"SELECT first.pk FROM ({sought}) first WHERE {condition} LIMIT {most}", [*values, *patterns])
        return [dialect().read_uuid(found) for (found,) in cursor.fetchall()]


def _among_first(ids: QuerySet[Any, Any], whole: QuerySet[Any, Any], rows: slice) -> list[Any] | None:
    """Return the ids up to the end of a page, if they are found among the first ids of the whole list; otherwise None.

    With LIMIT, too, SQLite's planner prefers the index of a condition to that of the order, and then sorts all matching
    rows.
    """
    if connection.vendor != "sqlite" or rows.stop > FARTHEST_SOUGHT or SORTED_WHOLE not in ids[rows].explain():
        return None
    if SORTED_WHOLE in whole[: rows.stop].explain():
        return None
    for sought in SOUGHT:
        found = _those_among(whole[: sought * rows.stop], ids)[: rows.stop]
        if len(found) == rows.stop:
            return found
        if not found:
            # None of the first rows match, as in a search for a day long ago.
            break
    return None


def _those_among(first: QuerySet[Any, Any], ids: QuerySet[Any, Any]) -> list[UUID]:
    """Return which of the first rows match, in their order.

    This is raw SQL because the ORM has no CROSS JOIN, which makes SQLite check these rows one by one. Otherwise it
    reads all matching rows by an index, and looks up each among the first rows.
    """
    table, id = map(connection.ops.quote_name, (ids.model._meta.db_table, "id"))
    sought, values = first.query.sql_with_params()
    matching, more = ids.query.sql_with_params()
    begin, where, rest = matching.partition(f" FROM {table} WHERE ")
    if not where:
        return []
    joined = f"{begin} FROM sought CROSS JOIN {table} ON ({table}.{id} = sought.id) WHERE {rest}"
    with reader().cursor() as cursor:
        cursor.execute(f"WITH sought(id) AS MATERIALIZED ({sought}) {joined}", [*values, *more])
        return [dialect().read_uuid(found) for (found,) in cursor.fetchall()]


def count_of_flow_runs(search: Search) -> int:
    found = _by_tag(search, "flow_runs")
    if found is None:
        found = _few_by_task_runs(search)
    return _by_index(flow_runs_matching(search), search).count() if found is None else found.count()


def count_of_task_runs(search: Search) -> int:
    by_tag = _by_tag(search, "task_runs")
    return _by_index(task_runs_matching(search), search).count() if by_tag is None else by_tag.count()


def _by_index(matching: QuerySet[Any], search: Search) -> QuerySet[Any]:
    """Let SQLite find runs without tags in their index.

    Not for the rows of a list: it would sort all runs without tags, which may be nearly all runs.
    """
    asked: RunFilter | None = search.flow_runs if matching.model is FlowRun else search.task_runs
    if connection.vendor != "sqlite" or asked is None or not asked.has_no_tags:
        return matching
    return matching.filter(tags__orion_is_nothing=True)


def _ids_by_tag(search: Search, kind: str, sort: str, rows: slice) -> Ids | None:
    tags = _by_tag(search, kind) if sort in TAG_ORDERS else None
    return None if tags is None else tags.order_by(*TAG_ORDERS[sort]).values("run_id")[rows]


def _by_tag(search: Search, kind: str) -> QuerySet[Any, Any] | None:
    """Return rows of tags, one for each matching run, if the search names tags and nothing else; otherwise None."""
    others = {"flows", "flow_runs", "task_runs", "deployments"} - {kind}
    asked: RunFilter | None = getattr(search, kind)
    tags = asked.only_tags if asked else []
    if not tags or search.pools() or search.queues() or any(getattr(search, name) is not None for name in others):
        return None
    assert asked is not None
    rows = asked.tag_rows.objects.all()
    counted, more = tags[:MOST_TAGS_ASKED_FOR], tags[MOST_TAGS_ASKED_FOR:]
    first, *further = counted
    if further:
        first, *further = sorted(counted, key=lambda tag: rows.filter(tag=tag)[:COUNTED].count())
    found = rows.filter(tag=first)
    for tag in further:
        found = found.filter(Exists(rows.filter(tag=tag, run=OuterRef("run"))))
    return found.filter(run__tags__orion_holds_all=more) if more else found


def flows_matching(search: Search) -> QuerySet[Flow]:
    condition = matched(search.flows)
    if search.deployments is not None or search.pools() is not None:
        condition &= Q(Exists(_deployments(search).filter(flow=OuterRef("pk"))))
    if search.flow_runs is not None or search.task_runs is not None:
        through = Search.model_construct(flow_runs=search.flow_runs, task_runs=search.task_runs)
        few = _few_by_task_runs(through)
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
