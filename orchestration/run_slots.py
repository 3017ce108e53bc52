"""Slots for runs in queues, pools and deployments: who holds how many, counted from the runs themselves under a lock.

No query for a run that has neither queue nor deployment, one where nothing is limited, and one more for the count
where something is (on PostgreSQL also one for each lock).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection

from orchestration.authors import refusal
from orchestration.core.rules.queueing import SlotUse
from orchestration.core.states import HOLDING
from orchestration.tables import dialect

_HELD = ", ".join(f"'{state_type}'" for state_type in sorted(HOLDING))
_READ = (
    "SELECT q.id, q.name, q.is_paused, q.concurrency_limit, p.id, p.name, p.is_paused, p.concurrency_limit, "
    "d.id, d.name, d.concurrency_limit, CASE WHEN d.author IS NOT NULL AND EXISTS "
    "(SELECT 1 FROM runs_flowrun r WHERE r.id = %s AND r.auto_scheduled) THEN d.author END "
    "FROM (SELECT 1) AS one LEFT JOIN deployments_workqueue q ON q.id = %s "
    "LEFT JOIN deployments_workpool p ON p.id = q.work_pool_id LEFT JOIN deployments_deployment d ON d.id = %s"
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Something that runs hold slots of: where it is stored, and which runs hold them."""

    word: str
    table: str
    holders: str


_QUEUE = _Kind("work queue", "deployments_workqueue", "work_queue_id = %s")
_POOL = _Kind(
    "work pool",
    "deployments_workpool",
    "work_queue_id IN (SELECT id FROM deployments_workqueue WHERE work_pool_id = %s)",
)
# A deployment's pause is about its schedules; a run that somebody asks for starts all the same.
_DEPLOYMENT = _Kind("deployment", "deployments_deployment", "deployment_id = %s")
_Limited = tuple[_Kind, Any, SlotUse]


def run_slots_of(run_id: UUID, queue_id: UUID | None, deployment_id: UUID | None) -> Sequence[SlotUse]:
    """Those of the three that are paused, limited or refused to their author, in the order in which they are locked."""
    if queue_id is None and deployment_id is None:
        return ()
    found = _read(run_id, queue_id, deployment_id)
    limited = [one for one in found if one[2].limit is not None]
    counted = dict(zip(map(_key, limited), _counted(_locked(limited)), strict=True)) if limited else {}
    return [counted.get(_key(one), one[2]) for one in found]


def _read(run_id: UUID, queue_id: UUID | None, deployment_id: UUID | None) -> list[_Limited]:
    spell = dialect().uuid
    row = _one(_READ, [spell(run_id), queue_id and spell(queue_id), deployment_id and spell(deployment_id)])
    found = [
        _limited(_QUEUE, *row[0:4]),
        _limited(_POOL, *row[4:8]),
        _of_author(_limited(_DEPLOYMENT, row[8], row[9], False, row[10]), row[11], deployment_id),
    ]
    return [one for one in found if one[1] is not None and _matters(one[2])]


def _matters(use: SlotUse) -> bool:
    return use.paused or use.limit is not None or bool(use.refused)


def _of_author(limited: _Limited, author: int | None, deployment_id: UUID | None) -> _Limited:
    """Ask whether the author of the deployment may run it, by whose rights planned runs begin."""
    kind, id, use = limited
    return kind, id, replace(use, refused=refusal(author, "deployments.run", kind.table, deployment_id))


def _limited(kind: _Kind, id: Any, name: str, paused: bool, limit: int | None) -> _Limited:
    return kind, id, SlotUse(f"{kind.word} {name!r}", bool(paused), limit)


def _key(limited: _Limited) -> str:
    return limited[0].word


def _locked(limited: list[_Limited]) -> list[_Limited]:
    """Held until the end of the transaction, with their limits as they are then. SQLite holds the file anyway."""
    if connection.vendor != "postgresql":
        return limited
    return [_lock(one) for one in limited]


def _lock(limited: _Limited) -> _Limited:
    kind, id, use = limited
    row = _one(f"SELECT concurrency_limit FROM {kind.table} WHERE id = %s FOR NO KEY UPDATE", [id])
    # Deleted in this moment: nothing is limited any more.
    return kind, id, replace(use, limit=row[0] if row else None)


def _counted(limited: list[_Limited]) -> list[SlotUse]:
    counts = [f"(SELECT COUNT(*) FROM runs_flowrun WHERE {_holding(kind)})" for kind, _, _ in limited]
    taken = _one(f"SELECT {', '.join(counts)}", [id for _, id, _ in limited])
    return [_with_holder(one, number) for one, number in zip(limited, taken, strict=True)]


def _with_holder(limited: _Limited, taken: int) -> SlotUse:
    kind, id, use = limited
    use = replace(use, taken=taken)
    if not use.is_full:
        return use
    row = _one(f"SELECT id FROM runs_flowrun WHERE {_holding(kind)} ORDER BY state_timestamp LIMIT 1", [id])
    return replace(use, holder=dialect().read_uuid(row[0]) if row else None)


def _holding(kind: _Kind) -> str:
    return f"{kind.holders} AND state_type IN ({_HELD})"


def _one(sql: str, values: list[Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()
