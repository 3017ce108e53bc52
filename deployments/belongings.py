"""How rows of this app belong to deployments, tags, pools and queues, and the resolution of object names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import reduce
from operator import or_
from uuid import UUID

from django.db import connection
from django.db.models import Q

from deployments.models import Deployment, WorkPool, WorkQueue
from orchestration.sight import (
    Condition,
    Reach,
    addressed,
    belongings,
    constants,
    everything,
    nothing,
    reaching,
    shared_tables,
)
from orchestration.tables import dialect, fetch
from runs.belongings import of_flow_run, through_flow_run, through_task_run
from runs.models import FlowRun


def reach_of(names: Mapping[str, Collection[str]], *, reading: bool) -> Reach:
    """Look up the objects with these names. For reading, deployments also include their queues and pools.

    Every request of a user with such rights does so. Nothing is asked, nor a query built, for a kind without names.
    """
    pools = _pools(names.get("work-pool", ()))
    queues = _queues(names.get("work-queue", ()), pools)
    tags = set(names.get("tag", ()))
    deployments = _deployments(names.get("deployment", ()), tags, queues)
    runs = {UUID(one) for one in names.get("run", ())}
    deployments_seen, pools_seen, queues_seen = dict(deployments), set(pools), set(queues)
    if reading:
        deployments_seen |= _deployments_of(runs)
        queues_seen |= {queue for queue in deployments_seen.values() if queue is not None}
        pools_seen |= _pools_of(queues_seen)
    resources = [
        *(f"prefect.deployment.{one}" for one in deployments),
        *(f"prefect.work-queue.{one}" for one in queues),
        *(f"prefect.work-pool.{one}" for one in pools),
    ]
    is_sqlite = connection.vendor == "sqlite"
    return Reach(
        schema="main" if is_sqlite else _schema(),
        is_sqlite=is_sqlite,
        runs=_ids(runs, is_sqlite),
        starters=constants(names.get("started-by-run", ())),
        deployments=_ids(deployments, is_sqlite),
        deployments_seen=_ids(deployments_seen, is_sqlite),
        tags=constants(tags),
        pools=_ids(pools, is_sqlite),
        queues=_ids(queues, is_sqlite),
        pools_seen=_ids(pools_seen, is_sqlite),
        queues_seen=_ids(queues_seen, is_sqlite),
        resources=constants(resources),
    )


def _pools(names: Collection[str]) -> set[UUID]:
    return set(WorkPool.objects.filter(name__in=names).order_by().values_list("pk", flat=True)) if names else set()


def _pools_of(queues: Collection[UUID]) -> set[UUID]:
    rows = fetch(
        "SELECT DISTINCT work_pool_id FROM deployments_workqueue WHERE work_pool_id IS NOT NULL AND id IN ", [*queues]
    )
    return {dialect().read_uuid(pool) for (pool,) in rows}


def _queues(names: Collection[str], pools: Collection[UUID]) -> set[UUID]:
    """Return the queues with these names, in the form `pool/queue`, or only the name for a queue without a pool."""
    if not names and not pools:
        return set()
    split = (one.rpartition("/") for one in names)
    named = [Q(name=name, work_pool__name=pool) if pool else Q(name=name, work_pool=None) for pool, _, name in split]
    wanted = reduce(or_, named, Q(work_pool__in=pools))
    return set(WorkQueue.objects.filter(wanted).order_by().values_list("pk", flat=True))


def _deployments(names: Collection[str], tags: set[str], queues: set[UUID]) -> dict[UUID, UUID | None]:
    """Return the deployments with these names, in the form `flow/deployment`, each with its queue."""
    rows = fetch("SELECT id, work_queue_id FROM deployments_deployment WHERE work_queue_id IN ", [*queues])
    if names:
        # Raw SQL, because building the statement would take longer than the query.
        split = (one.partition("/") for one in names)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT d.id, d.work_queue_id FROM deployments_deployment d JOIN runs_flow f ON f.id = d.flow_id WHERE "
                + " OR ".join(["(f.name = %s AND d.name = %s)"] * len(names)),
                [value for flow, _, name in split for value in (flow, name)],
            )
            rows += cursor.fetchall()
    read = dialect().read_uuid
    known: dict[UUID, UUID | None] = {read(pk): None if queue is None else read(queue) for pk, queue in rows}
    if tags:
        tagged = Deployment.objects.exclude(tags=[]).order_by().values_list("pk", "work_queue_id", "tags")
        known |= {pk: queue for pk, queue, own in tagged if not tags.isdisjoint(own)}
    return known


def _deployments_of(runs: Collection[UUID]) -> dict[UUID, UUID | None]:
    if not runs:
        return {}
    of_runs = FlowRun.objects.filter(pk__in=runs).values("deployment_id")
    return dict(Deployment.objects.filter(pk__in=of_runs).order_by().values_list("pk", "work_queue_id"))


def _ids(found: Collection[UUID], is_sqlite: bool) -> str:
    if is_sqlite:
        # SQLite stores ids as bytes. For none of them, IN (NULL) is never true.
        blobs = sorted(f"X'{one.hex}'" for one in found)
        return f"({', '.join(blobs) or 'NULL'})"
    return constants(found)


def _schema() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return f'"{cursor.fetchone()[0]}"'


def is_in(column: str, what: str) -> Condition:
    return lambda reach, row: f"{row}.{column} IN {getattr(reach, what)}"


def of_backfill_time(reach: Reach, row: str) -> str:
    backfills = reach.table("deployments_backfill")
    return f"{row}.backfill_id IN (SELECT b.id FROM {backfills} b WHERE b.deployment_id IN {reach.deployments})"


def of_schedule_calendar(reach: Reach, row: str) -> str:
    schedules = reach.table("deployments_schedule")
    return f"{row}.schedule_id IN (SELECT s.id FROM {schedules} s WHERE s.deployment_id IN {reach.deployments})"


def of_calendar(reach: Reach, row: str) -> str:
    used = reach.table("deployments_schedule_calendars")
    return f"{row}.id IN (SELECT c.calendar_id FROM {used} c WHERE {of_schedule_calendar(reach, 'c')})"


def of_global_slot(reach: Reach, row: str) -> str:
    return f"({through_flow_run('flow_run_id')(reach, row)} OR {through_task_run('task_run_id')(reach, row)})"


def of_worker(reach: Reach, row: str) -> str:
    """Show an agent with its pool or, if it names its queues, with all of these."""
    served = (
        f"json_each({row}.queue_ids) j" if reach.is_sqlite else f"jsonb_array_elements_text({row}.queue_ids) j(value)"
    )
    is_named = f"('prefect.work-queue.' || j.value IN {reach.resources})"
    by_queues = (
        f"NOT {row}.serves_pool AND EXISTS (SELECT 1 FROM {served} WHERE {is_named}) "
        # IS NOT TRUE, because IN of a list without values is NULL, and not false.
        f"AND NOT EXISTS (SELECT 1 FROM {served} WHERE {is_named} IS NOT TRUE)"
    )
    return f"({row}.work_pool_id IN {reach.pools} OR {by_queues})"


def of_deadline(reach: Reach, row: str) -> str:
    runs = reach.table("runs_flowrun")
    return f"EXISTS (SELECT 1 FROM {runs} f WHERE f.id = {row}.flow_run_id AND {of_flow_run(reach, 'f')})"


reaching.append(reach_of)
belongings.update(
    {
        "deployments_deployment": is_in("id", "deployments_seen"),
        "deployments_schedule": is_in("deployment_id", "deployments"),
        "deployments_skippedtime": is_in("deployment_id", "deployments"),
        "deployments_backfill": is_in("deployment_id", "deployments"),
        "deployments_backfilltime": of_backfill_time,
        "deployments_schedule_calendars": of_schedule_calendar,
        "deployments_calendar": of_calendar,
        "deployments_deadline": of_deadline,
        "deployments_workpool": is_in("id", "pools_seen"),
        "deployments_workqueue": is_in("id", "queues_seen"),
        "deployments_formerqueue": nothing,
        "deployments_worker": of_worker,
        "deployments_lease": through_flow_run("flow_run_id"),
        "deployments_concurrencylimit": is_in("tag", "tags"),
        "deployments_slot": through_task_run("task_run_id"),
        "deployments_globallimit": nothing,
        "deployments_globalslot": of_global_slot,
        # Objects that flows look up by name belong to no deployment; only a role for all objects shows them.
        "deployments_variable": nothing,
        "deployments_blocktype": nothing,
        "deployments_blockschema": nothing,
        "deployments_blockdocument": nothing,
        "deployments_blockreference": nothing,
        # The configuration of the server, and the state of its services.
        "deployments_servicerecord": everything,
        "deployments_changedsetting": everything,
    }
)
shared_tables.add("deployments_calendar")
addressed.update(
    {
        "api/deployments/<id>": ("deployments_deployment", "id"),
        "api/backfills/<id>": ("deployments_backfill", "id"),
        "api/calendars/<id>": ("deployments_calendar", "id"),
        "api/work_pools/<name>": ("deployments_workpool", "name"),
        "api/work_pools/<work_pool_name>": ("deployments_workpool", "name"),
        "api/work_queues/<id>": ("deployments_workqueue", "id"),
        "api/concurrency_limits/tag/<tag>": ("deployments_concurrencylimit", "tag"),
        "api/concurrency_limits/<id>": ("deployments_concurrencylimit", "id"),
        "api/agents/<id>": ("deployments_worker", "id"),
        "deployments/<deployment_id>": ("deployments_deployment", "id"),
        "deployments/new/<run_id>": ("runs_flowrun", "id"),
        "backfills/<backfill_id>": ("deployments_backfill", "id"),
        "calendars/<calendar_id>": ("deployments_calendar", "id"),
        "work/pools/<pool_id>": ("deployments_workpool", "id"),
        "work/queues/<queue_id>": ("deployments_workqueue", "id"),
        "agents/<agent_id>": ("deployments_worker", "id"),
        "limits/tags/<limit_id>": ("deployments_concurrencylimit", "id"),
    }
)
