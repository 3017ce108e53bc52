"""Fair shares of pools in the database: the first waiting runs per deployment, and the active runs per share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from deployments.dispatch.core.fair_share import share_of
from deployments.dispatch.core.hand_out import Share
from deployments.limits.selectors.capacity import Holding
from deployments.models import Deployment, WorkQueue
from runs.models import FlowRun

# Skip from one deployment with scheduled runs to the next by an index, without reading all of their runs.
_WAITING = (
    "WITH RECURSIVE waiting(id) AS (SELECT * FROM (SELECT deployment_id FROM runs_flowrun WHERE {some} "
    "ORDER BY deployment_id LIMIT 1) AS smallest UNION ALL SELECT (SELECT deployment_id FROM runs_flowrun "
    "WHERE {some} AND deployment_id > waiting.id ORDER BY deployment_id LIMIT 1) FROM waiting WHERE id IS NOT NULL)"
).format(some="deployment_id IS NOT NULL AND state_type = 'SCHEDULED'")
# The number of runs read for one deployment; enough for a while.
MOST_OF_ONE = 100


def first_of_each_deployment(runs: QuerySet[FlowRun], limit: int) -> tuple[str, tuple[Any, ...]]:
    """Return the SQL that reads the first of these ordered runs for each of their deployments."""
    of_one = runs.filter(deployment_id=RawSQL("waiting.id", ()))
    columns = ("next_scheduled_start_time", "pk", "work_queue_id", "deployment_id")
    most = min(limit, MOST_OF_ONE)
    if connection.vendor == "postgresql":
        sql, values = of_one.values_list(*columns)[:most].query.sql_with_params()
        return f"{_WAITING} SELECT one.* FROM waiting CROSS JOIN LATERAL ({sql}) AS one", tuple(values)
    sql, values = of_one.values_list("pk")[:most].query.sql_with_params()
    return (
        f"{_WAITING} SELECT r.next_scheduled_start_time, r.id, r.work_queue_id, r.deployment_id "
        f"FROM waiting CROSS JOIN runs_flowrun r WHERE r.id IN ({sql})",
        tuple(values),
    )


def shares_of(
    fair: Mapping[UUID | None, str], holding: Holding, deployment_ids: Collection[UUID | None]
) -> dict[tuple[UUID | None, UUID | None], Share]:
    """Return the share of each deployment in each of these pools, including deployments with active runs."""
    ids = {one for one in deployment_ids if one} | holding.keys()
    rows = Deployment.objects.filter(pk__in=ids).order_by().values_list("pk", "author", "tags")
    known = {pk: (author, tags) for pk, author, tags in rows}
    shares: dict[tuple[UUID | None, UUID | None], Share] = {}
    for pool_id, key in fair.items():
        assert pool_id is not None
        for one in {*ids, None}:
            author, tags = known.get(one, (None, ())) if one else (None, ())
            shares[pool_id, one] = (pool_id, share_of(key, deployment_id=one, author=author, tags=tags))
    return shares


def going(
    shares: Mapping[tuple[UUID | None, UUID | None], Share], holding: Holding, fair: Mapping[UUID | None, str]
) -> dict[Share, int]:
    """Return how many runs of each share hold slots in its pool; 0 for shares that only wait."""
    if not shares:
        return {}
    pools = dict(WorkQueue.objects.filter(work_pool__in=list(fair)).order_by().values_list("pk", "work_pool_id"))
    counted = Counter(dict.fromkeys(shares.values(), 0))
    for deployment_id, by_queue in holding.items():
        for queue_id, runs in by_queue.items():
            pool_id = pools.get(queue_id) if queue_id else None
            if (share := shares.get((pool_id, deployment_id))) is not None:
                counted[share] += runs
    return dict(counted)
