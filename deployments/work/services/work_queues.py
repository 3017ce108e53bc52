"""Work queues: created by name or on first use, kept in an order of unique priorities, changed and deleted.

Adding, moving or removing a queue locks its pool, so that two queues of a pool never get the same priority.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

from deployments.definitions.services.statuses import record_queue_status
from deployments.errors import DefaultQueueStays, WorkPoolNotFound, WorkQueueExists, WorkQueueInUse, WorkQueueNotFound
from deployments.models import WorkPool, WorkQueue
from deployments.work.services.queue_usage import former_queue, remember_usage, restore_usage, usage_of
from orchestration.errors import BeyondRights
from orchestration.new_names import refuse_unreadable
from orchestration.sight import acts_in_part
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.kinds import AGENT_POOL

DEFAULT_POOL = WorkPool.DEFAULT_NAME
DEFAULT_QUEUE = "default"


def queue_for(*, pool_name: str | None, queue_name: str | None, now: datetime) -> WorkQueue | None:
    """Return the queue for a deployment that names this pool and queue, created if it is new.

    Without a pool it is a queue of the default pool; without a queue, the pool's default queue; without both, None.
    Raises WorkPoolNotFound.
    """
    if pool_name is None and queue_name is None:
        return None
    # Without a lock first, because the queue nearly always exists.
    known = WorkQueue.objects.select_related("work_pool").filter(work_pool__name=pool_name or DEFAULT_POOL)
    if queue_name is not None and (queue := known.filter(name=queue_name).first()):
        return queue
    return _made_queue(pool_name, queue_name, now)


@repeated_on_conflict
def _made_queue(pool_name: str | None, queue_name: str | None, now: datetime) -> WorkQueue:
    with write_transaction():
        if pool_name is None or pool_name == DEFAULT_POOL:
            default_pool(now)
        pool = locked_pool(pool_name or DEFAULT_POOL)
        if queue_name is None:
            return default_queue(pool, now)
        # Asked again with the lock: another request may have added it in the meantime.
        return WorkQueue.objects.filter(work_pool=pool, name=queue_name).first() or _add(
            pool, {"name": queue_name}, now
        )


def default_pool(now: datetime) -> WorkPool:
    """Return the pool for queues without a named pool, created with its default queue on first use."""
    with write_transaction():
        pool, made = WorkPool.objects.get_or_create(name=DEFAULT_POOL, defaults={"type": AGENT_POOL, "created": now})
        if made:
            default_queue(pool, now)
        return pool


def default_queue(pool: WorkPool, now: datetime) -> WorkQueue:
    """Return the queue for runs that name none. The caller has locked the pool."""
    queues = WorkQueue.objects.select_related("work_pool")
    if pool.default_queue_id and (queue := queues.filter(pk=pool.default_queue_id).first()):
        return queue
    queue = queues.filter(work_pool=pool, name=DEFAULT_QUEUE).first()
    queue = queue or _add(pool, {"name": DEFAULT_QUEUE, "description": "The work pool's default queue."}, now)
    pool.default_queue_id = queue.pk
    pool.save(update_fields=["default_queue_id", "updated"])
    return queue


@repeated_on_conflict
def create_work_queue(*, pool_name: str | None, columns: Mapping[str, Any], now: datetime) -> WorkQueue:
    """Create a queue in this pool, or else in the default pool, at the priority in `columns` or the first free one.

    Raises WorkPoolNotFound, WorkQueueExists, UnreadableName, and BeyondRights for a filter.
    """
    with write_transaction():
        if pool_name is None:
            default_pool(now)
        pool = locked_pool(pool_name or DEFAULT_POOL)
        _refuse_taken(pool, columns["name"])
        _refuse_filter_of_others(columns, None)
        return _add(pool, columns, now)


@repeated_on_conflict
def update_work_queue(*, queue_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    """Change columns of a queue. Another priority moves the queues behind it; another name gives it former users.

    Raises WorkQueueNotFound, WorkQueueExists, UnreadableName, and BeyondRights for a filter.
    """
    with write_transaction():
        queue = _held(queue_id)
        if changes.get("name", queue.name) != queue.name and queue.work_pool:
            _refuse_taken(queue.work_pool, changes["name"])
        if changes.get("name", queue.name) != queue.name:
            refuse_unreadable(changes["name"])
        _refuse_filter_of_others(changes, queue.filter)
        columns = {name: value for name, value in changes.items() if name != "priority"}
        if columns:
            WorkQueue.objects.filter(pk=queue_id).update(**columns, updated=now)
        if columns.get("is_paused", queue.is_paused) != queue.is_paused:
            queue.is_paused = columns["is_paused"]
            record_queue_status(queue, now)
        if "name" in columns and (former := former_queue(_pool_name(queue), columns["name"])):
            restore_usage(former, queue)
        if changes.get("priority") and queue.work_pool:
            _give_priority(queue.work_pool, queue.pk, changes["priority"], now)


@repeated_on_conflict
def delete_work_queue(*, queue_id: UUID, force: bool = True) -> None:
    """Delete a queue; without `force`, only if no deployment and no unfinished run uses it.

    Its users wait until a queue with its name is created again. A pool's default queue exists as long as its pool.
    Raises WorkQueueNotFound, DefaultQueueStays and WorkQueueInUse.
    """
    with write_transaction():
        queue = _held(queue_id)
        if queue.work_pool and queue.work_pool.default_queue_id == queue_id:
            raise DefaultQueueStays(name=queue.name, pool=queue.work_pool.name)
        # Not no_key: a deployment that takes the queue now has to wait, and then finds it gone.
        WorkQueue.objects.select_for_update().filter(pk=queue_id).values_list("pk").first()
        users = usage_of([queue_id])
        if users and not force:
            raise WorkQueueInUse(name=queue.name, users=users)
        # Before the row goes: its deletion empties the references of deployments.
        remember_usage([queue])
        queue.delete()


def _refuse_filter_of_others(columns: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """Refuse a filter: with one, the agents of a queue execute runs of any deployment, even from other queues."""
    wanted = columns.get("filter")
    if wanted and wanted != before and acts_in_part():
        raise BeyondRights(what="a queue that picks runs by a filter")


def found_queue(*, pool_name: str, queue_name: str) -> WorkQueue:
    queue = WorkQueue.objects.select_related("work_pool").filter(work_pool__name=pool_name, name=queue_name).first()
    if queue is None:
        found_pool(pool_name)
        raise WorkQueueNotFound(name=queue_name)
    return queue


def found_pool(name: str) -> WorkPool:
    pool = WorkPool.objects.filter(name=name).first()
    if pool is None:
        raise WorkPoolNotFound(name=name)
    return pool


def locked_pool(name: str) -> WorkPool:
    # no_key: rows that refer to the pool can be inserted while it is locked.
    pool = WorkPool.objects.select_for_update(no_key=True).filter(name=name).first()
    if pool is None:
        raise WorkPoolNotFound(name=name)
    return pool


def _held(queue_id: UUID) -> WorkQueue:
    """Return the queue, with its pool locked until the end of the transaction."""
    pool_id = WorkQueue.objects.filter(pk=queue_id).values_list("work_pool_id", flat=True).first()
    if pool_id is not None:
        WorkPool.objects.select_for_update(no_key=True).filter(pk=pool_id).values_list("pk").first()
    # Read after the pool was locked, as another transaction may have changed it before.
    queue = WorkQueue.objects.select_related("work_pool").filter(pk=queue_id).first()
    if queue is None:
        raise WorkQueueNotFound(name=str(queue_id))
    return queue


def _pool_name(queue: WorkQueue) -> str:
    return queue.work_pool.name if queue.work_pool else ""


def _add(pool: WorkPool, columns: Mapping[str, Any], now: datetime) -> WorkQueue:
    asked = columns.get("priority")
    own = {name: value for name, value in columns.items() if name != "priority"}
    priority = _lowest_free(_priorities(pool).values())
    former = former_queue(pool.name, own["name"])
    if former is None:
        refuse_unreadable(own["name"])
    # Under the former id, the runs that wait for the queue need no change.
    known = {"id": former.pk} if former else {}
    queue = WorkQueue(**own, **known, work_pool=pool, priority=priority, created=now)
    queue.save(force_insert=True)
    if former:
        restore_usage(former, queue)
    if asked is not None and asked != priority:
        _give_priority(pool, queue.pk, asked, now)
        queue.priority = asked
    return queue


def _give_priority(pool: WorkPool, queue_id: UUID, priority: int, now: datetime) -> None:
    for moved_id, place in _moved_priorities(_priorities(pool), queue_id, priority).items():
        WorkQueue.objects.filter(pk=moved_id).update(priority=place, updated=now)


def _priorities(pool: WorkPool) -> dict[UUID, int]:
    return dict(WorkQueue.objects.filter(work_pool=pool).values_list("pk", "priority"))


def _refuse_taken(pool: WorkPool, name: str) -> None:
    if WorkQueue.objects.filter(work_pool=pool, name=name).exists():
        raise WorkQueueExists(name=name, pool=pool.name)


def _lowest_free(taken: Collection[int]) -> int:
    return next(number for number in count(1) if number not in set(taken))


def _moved_priorities(priorities: Mapping[UUID, int], queue: UUID, priority: int) -> dict[UUID, int]:
    """Return the changes when a queue gets this priority: queues from there on move back, up to the first gap."""
    changes = {} if priorities.get(queue) == priority else {queue: priority}
    place = priority
    for other, present in sorted(priorities.items(), key=lambda pair: pair[1]):
        if other == queue or present < priority:
            continue
        if present > place:
            break
        place += 1
        changes[other] = place
    return changes
