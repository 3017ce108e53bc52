"""Work pools: created with their default queue, changed, and deleted with their queues and workers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.definitions.services.statuses import record_pool_status
from deployments.errors import BadJobTemplate, BlockDocumentNotFound, WorkPoolExists, WorkPoolInUse, WorkPoolReserved
from deployments.models import BlockDocument, WorkPool, WorkQueue
from deployments.work.core.job_variables import blocks_in_defaults, flaw_of_defaults, flaw_of_template
from deployments.work.services.queue_usage import remember_usage, usage_of
from deployments.work.services.work_queues import default_queue, locked_pool
from orchestration.new_names import refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.job_templates import default_job_template


@repeated_on_conflict
def create_work_pool(*, columns: Mapping[str, Any], now: datetime) -> WorkPool:
    """Create a pool with its default queue.

    Raises WorkPoolReserved, UnreadableName, BadJobTemplate, BlockDocumentNotFound and WorkPoolExists.
    """
    _refuse_reserved(columns["name"], "made")
    refuse_unreadable(columns["name"])
    columns = _with_template(columns, columns.get("type", ""))
    refuse_bad_template(columns)
    with write_transaction():
        # If two requests pass here at the same moment, the constraint fails one, which is repeated and stops here.
        if WorkPool.objects.filter(name=columns["name"]).exists():
            raise WorkPoolExists(name=columns["name"])
        pool = WorkPool(**columns, created=now)
        pool.save(force_insert=True)
        default_queue(pool, now)
        record_pool_status(pool, now, is_new=True)
        return pool


@repeated_on_conflict
def update_work_pool(*, name: str, changes: Mapping[str, Any], now: datetime) -> None:
    if changes.keys() - {"is_paused", "concurrency_limit", "fair_share"}:
        _refuse_reserved(name, "changed but for its limits and its pause")
    refuse_bad_template(changes)
    with write_transaction():
        pool = locked_pool(name)
        changes = _with_template(changes, pool.type) if "base_job_template" in changes else changes
        WorkPool.objects.filter(pk=pool.pk).update(**changes, updated=now)
        if changes.get("is_paused", pool.is_paused) != pool.is_paused:
            pool.is_paused = changes["is_paused"]
            record_pool_status(pool, now)


@repeated_on_conflict
def delete_work_pool(*, name: str, force: bool | None = None) -> None:
    """Delete a pool with its queues. Their users wait until the queues are created again with the same names.

    Raises WorkPoolInUse if deployments or unfinished runs use the pool, unless `force` is true. With None, a pool that
    only deployments use is deleted, as Prefect's clients expect, but never the default pool.
    """
    _refuse_reserved(name, "deleted")
    with write_transaction():
        pool = locked_pool(name)
        # As for the deletion of one queue. In one order, so that two transactions do not wait for each other.
        held = WorkQueue.objects.select_related("work_pool").select_for_update(of=("self",)).order_by("pk")
        queues = list(held.filter(work_pool=pool))
        users = usage_of([queue.pk for queue in queues])
        if force is None:
            force = not users.runs and name != WorkPool.DEFAULT_NAME
        if users and not force:
            raise WorkPoolInUse(name=name, users=users)
        # Before the rows go: their deletion empties the references of deployments.
        remember_usage(queues)
        pool.delete()


def _with_template(columns: Mapping[str, Any], pool_type: str) -> Mapping[str, Any]:
    """Return the columns with a job template: without one, a pool of containers could not make any job."""
    template = columns.get("base_job_template") or default_job_template(pool_type)
    return {**columns, "base_job_template": template}


def _refuse_reserved(name: str, action: str) -> None:
    if name.lower().startswith("prefect"):
        raise WorkPoolReserved(name=name, action=action)


def refuse_bad_template(columns: Mapping[str, Any]) -> None:
    """Refuse invalid templates. Raises BadJobTemplate, and BlockDocumentNotFound if a default names a missing block."""
    template = columns.get("base_job_template") or {}
    if reason := flaw_of_template(template):
        raise BadJobTemplate(reason=reason)
    blocks = {name: _block(named) for name, named in blocks_in_defaults(template)}
    if reason := flaw_of_defaults(template, blocks):
        raise BadJobTemplate(reason=reason)


def _block(named: Any) -> Mapping[str, Any]:
    try:
        document = BlockDocument.objects.filter(pk=UUID(str(named))).first()
    except ValueError:
        document = None
    if document is None:
        raise BlockDocumentNotFound(id=named)
    content: Mapping[str, Any] = document.content
    return content
