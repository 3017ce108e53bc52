"""Slots for runs in queues, pools and deployments, counted from the runs themselves under a lock.

One unit of work counts once for all its runs, and then updates the counts itself. There is no query if no run has a
queue or a deployment; one if nothing is limited; and one more for the count if something is (on PostgreSQL also one for
each kind of limit, to lock it).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection

from orchestration.authors import refusal
from orchestration.core.rules.queueing import SlotUse
from orchestration.core.states import HOLDING, State
from orchestration.moving import MovingRun
from orchestration.tables import FLOW_RUNS, dialect

_HELD = ", ".join(f"'{state_type}'" for state_type in sorted(HOLDING))


@dataclass(frozen=True, slots=True)
class _Kind:
    """Something that has slots for runs: where it is stored, and how to count its runs."""

    word: str
    table: str
    # The join to the runs, and the column by which they are counted.
    joined: str
    column: str


_QUEUE = _Kind("work queue", "deployments_workqueue", "", "r.work_queue_id")
_POOL = _Kind(
    "work pool", "deployments_workpool", "JOIN deployments_workqueue q ON q.id = r.work_queue_id", "q.work_pool_id"
)
# Its pause is not read: it applies to schedules, and a run that a user requests starts anyway.
_DEPLOYMENT = _Kind("deployment", "deployments_deployment", "", "r.deployment_id")
# In the order in which they are locked.
_KINDS = (_QUEUE, _POOL, _DEPLOYMENT)
_Key = tuple[str, UUID]


class RunSlots:
    """The slots of queues, pools and deployments that the runs of one unit of work need, and who holds them."""

    def __init__(self) -> None:
        self._uses: dict[_Key, SlotUse] = {}
        self._pools: dict[UUID, UUID] = {}
        self._authors: dict[UUID, int | None] = {}
        self._refusals: dict[tuple[int, UUID], str] = {}
        self._planned: set[UUID] = set()
        self._read: set[UUID] = set()
        # By limit: the first run of this unit that took a slot of it.
        self._takers: dict[_Key, UUID] = {}

    def of(self, moving: MovingRun, runs: Iterable[MovingRun]) -> Sequence[SlotUse]:
        """Return the queue, pool and deployment of a run that are paused, limited or refused to their author.

        They come in the order in which they are locked. A question about one run is answered for all `runs`.
        """
        queue_id, deployment_id = moving.stored.work_queue_id, moving.run.deployment_id
        if queue_id is None and deployment_id is None:
            return ()
        if moving.run.id not in self._read:
            self._read_for([one for one in runs if one.tables is FLOW_RUNS and one.run.id not in self._read])
        uses = [self._with_holder(key) for key in self._keys(moving)]
        if deployment_id is not None and moving.run.id in self._planned:
            uses = [*uses[:-1], self._judged(uses[-1], deployment_id)] if uses else uses
        return [use for use in uses if use.paused or use.limit is not None or use.refused]

    def entered(self, moving: MovingRun, before: State | None, state: State) -> None:
        """Note that a run of the unit entered a state, which is not written yet."""
        if not self._read:
            return
        if change := _holds(state) - _holds(before):
            self._count(self._keys(moving), moving, change)

    # --- what is known ---------------------------------------------------------------------------------------------

    def _keys(self, moving: MovingRun) -> list[_Key]:
        """Return the keys of the queue, pool and deployment that exist. One that was deleted limits nothing."""
        queue_id, deployment_id = moving.stored.work_queue_id, moving.run.deployment_id
        pool_id = self._pools.get(queue_id) if queue_id else None
        named = ((_QUEUE, queue_id), (_POOL, pool_id), (_DEPLOYMENT, deployment_id))
        return [(kind.word, id) for kind, id in named if id is not None and (kind.word, id) in self._uses]

    def _count(self, keys: Iterable[_Key], moving: MovingRun, change: int) -> None:
        for key in keys:
            use = self._uses[key]
            if use.limit is not None:
                self._uses[key] = replace(use, taken=use.taken + change)
                if change > 0:
                    self._takers.setdefault(key, moving.run.id)

    def _judged(self, use: SlotUse, deployment_id: UUID) -> SlotUse:
        """Check whether the author of the deployment may run it: planned runs start by the author's rights."""
        author = self._authors.get(deployment_id)
        if author is None:
            return use
        asked = (author, deployment_id)
        if asked not in self._refusals:
            self._refusals[asked] = refusal(author, "deployments.run", _DEPLOYMENT.table, deployment_id)
        return replace(use, refused=self._refusals[asked])

    def _with_holder(self, key: _Key) -> SlotUse:
        use = self._uses[key]
        if use.is_full and use.holder is None:
            kind = next(kind for kind in _KINDS if kind.word == key[0])
            rows = _rows(
                f"SELECT r.id FROM runs_flowrun r {kind.joined} WHERE {kind.column} = %s "
                f"AND r.state_type IN ({_HELD}) ORDER BY r.state_timestamp LIMIT 1",
                [dialect().uuid(key[1])],
            )
            holder = dialect().read_uuid(rows[0][0]) if rows else self._takers.get(key)
            use = self._uses[key] = replace(use, holder=holder)
        return use

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read_for(self, runs: Sequence[MovingRun]) -> None:
        known = set(self._uses)
        self._read_limits(runs)
        self._read |= {moving.run.id for moving in runs}
        limited = [key for key, use in self._uses.items() if key not in known and use.limit is not None]
        if limited:
            self._lock(limited)
            self._count_stored(limited)
            # Changes by these runs before the first question are not in the table yet.
            for moving in runs:
                if change := _holds(moving.state) - _holds(moving.stored.state):
                    self._count((key for key in self._keys(moving) if key not in known), moving, change)

    def _read_limits(self, runs: Sequence[MovingRun]) -> None:
        db = dialect()
        queues = self._unknown(_QUEUE, (one.stored.work_queue_id for one in runs))
        deployments = self._unknown(_DEPLOYMENT, (one.run.deployment_id for one in runs))
        selects, values = [], list[Any]()
        if queues:
            selects.append(
                "SELECT 0, q.id, q.name, q.is_paused, q.concurrency_limit, p.id, p.name, p.is_paused, "
                "p.concurrency_limit FROM deployments_workqueue q LEFT JOIN deployments_workpool p "
                f"ON p.id = q.work_pool_id WHERE q.id IN ({_marks(queues)})"
            )
            values += map(db.uuid, queues)
        if deployments:
            selects.append(
                "SELECT 1, d.id, d.name, NULL, d.concurrency_limit, NULL, NULL, NULL, d.author "
                f"FROM deployments_deployment d WHERE d.id IN ({_marks(deployments)})"
            )
            values += map(db.uuid, deployments)
        if with_deployment := [one.run.id for one in runs if one.run.deployment_id]:
            selects.append(
                "SELECT 2, r.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM runs_flowrun r "
                "JOIN deployments_deployment d ON d.id = r.deployment_id "
                f"WHERE d.author IS NOT NULL AND r.auto_scheduled AND r.id IN ({_marks(with_deployment)})"
            )
            values += map(db.uuid, with_deployment)
        for kind, raw, name, paused, limit, pool, pool_name, pool_paused, last in (
            _rows(" UNION ALL ".join(selects), values) if selects else ()
        ):
            id = db.read_uuid(raw)
            match kind:
                case 0:
                    self._uses[_QUEUE.word, id] = _use(_QUEUE, name, paused, limit)
                    if pool is not None:
                        pool_id = self._pools[id] = db.read_uuid(pool)
                        self._uses.setdefault((_POOL.word, pool_id), _use(_POOL, pool_name, pool_paused, last))
                case 1:
                    self._uses[_DEPLOYMENT.word, id] = _use(_DEPLOYMENT, name, False, limit)
                    self._authors[id] = last
                case _:
                    self._planned.add(id)

    def _unknown(self, kind: _Kind, ids: Iterable[UUID | None]) -> list[UUID]:
        return sorted({id for id in ids if id is not None and (kind.word, id) not in self._uses})

    def _lock(self, keys: Sequence[_Key]) -> None:
        """Lock the limits until the end of the transaction, and read them again. SQLite locks the whole file anyway."""
        if connection.vendor != "postgresql":
            return
        for kind in _KINDS:
            if ids := sorted(id for word, id in keys if word == kind.word):
                rows = _rows(
                    f"SELECT id, concurrency_limit FROM {kind.table} WHERE id IN ({_marks(ids)}) "
                    "ORDER BY id FOR NO KEY UPDATE",
                    ids,
                )
                # A limit that was deleted at this moment applies no longer.
                limits = dict(rows)
                for id in ids:
                    key = (kind.word, id)
                    self._uses[key] = replace(self._uses[key], limit=limits.get(id))

    def _count_stored(self, keys: Sequence[_Key]) -> None:
        db, selects, values = dialect(), list[str](), list[Any]()
        for number, kind in enumerate(_KINDS):
            if ids := [id for word, id in keys if word == kind.word]:
                selects.append(
                    f"SELECT {number}, {kind.column}, COUNT(*) FROM runs_flowrun r {kind.joined} "
                    f"WHERE {kind.column} IN ({_marks(ids)}) AND r.state_type IN ({_HELD}) GROUP BY {kind.column}"
                )
                values += map(db.uuid, ids)
        for number, raw, taken in _rows(" UNION ALL ".join(selects), values):
            key = (_KINDS[number].word, db.read_uuid(raw))
            self._uses[key] = replace(self._uses[key], taken=taken)


def _holds(state: State | None) -> int:
    return int(state is not None and state.type in HOLDING)


def _use(kind: _Kind, name: str, paused: bool, limit: int | None) -> SlotUse:
    return SlotUse(f"{kind.word} {name!r}", bool(paused), limit)


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _rows(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
