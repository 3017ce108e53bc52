"""Places in queues, pools and deployments: who holds how many, counted from the runs themselves under a lock.

No query for a run that has neither queue nor deployment, one where nothing is limited, and one more for the count
where something is (on PostgreSQL also one for each lock).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection

from orchestration.core.decide import PlaceUse
from orchestration.core.states import HOLDING
from orchestration.tables import dialect

_HELD = ", ".join(f"'{state_type}'" for state_type in sorted(HOLDING))
_READ = (
    "SELECT q.id, q.name, q.is_paused, q.concurrency_limit, p.id, p.name, p.is_paused, p.concurrency_limit, "
    "d.id, d.name, d.concurrency_limit FROM (SELECT 1) AS one LEFT JOIN deployments_workqueue q ON q.id = %s "
    "LEFT JOIN deployments_workpool p ON p.id = q.work_pool_id LEFT JOIN deployments_deployment d ON d.id = %s"
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What runs hold places in, where it is stored, and which runs hold them."""

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
_Place = tuple[_Kind, Any, PlaceUse]


def places_of(queue_id: UUID | None, deployment_id: UUID | None) -> Sequence[PlaceUse]:
    """Those of the three that are paused or limited, in the order in which they are locked."""
    if queue_id is None and deployment_id is None:
        return ()
    places = _read(queue_id, deployment_id)
    limited = [place for place in places if place[2].limit is not None]
    counted = dict(zip(map(_key, limited), _counted(_locked(limited)), strict=True)) if limited else {}
    return [counted.get(_key(place), place[2]) for place in places]


def _read(queue_id: UUID | None, deployment_id: UUID | None) -> list[_Place]:
    spell = dialect().uuid
    row = _one(_READ, [queue_id and spell(queue_id), deployment_id and spell(deployment_id)])
    found = [
        _place(_QUEUE, *row[0:4]),
        _place(_POOL, *row[4:8]),
        _place(_DEPLOYMENT, row[8], row[9], False, row[10]),
    ]
    return [place for place in found if place[1] is not None and (place[2].paused or place[2].limit is not None)]


def _place(kind: _Kind, id: Any, name: str, paused: bool, limit: int | None) -> _Place:
    return kind, id, PlaceUse(f"{kind.word} {name!r}", bool(paused), limit)


def _key(place: _Place) -> str:
    return place[0].word


def _locked(places: list[_Place]) -> list[_Place]:
    """Held until the end of the transaction, with their limits as they are then. SQLite holds the file anyway."""
    if connection.vendor != "postgresql":
        return places
    return [_lock(place) for place in places]


def _lock(place: _Place) -> _Place:
    kind, id, use = place
    row = _one(f"SELECT concurrency_limit FROM {kind.table} WHERE id = %s FOR NO KEY UPDATE", [id])
    # Deleted in this moment: nothing is limited any more.
    return kind, id, replace(use, limit=row[0] if row else None)


def _counted(places: list[_Place]) -> list[PlaceUse]:
    counts = [f"(SELECT COUNT(*) FROM runs_flowrun WHERE {_holding(kind)})" for kind, _, _ in places]
    taken = _one(f"SELECT {', '.join(counts)}", [id for _, id, _ in places])
    return [_with_holder(place, number) for place, number in zip(places, taken, strict=True)]


def _with_holder(place: _Place, taken: int) -> PlaceUse:
    kind, id, use = place
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
