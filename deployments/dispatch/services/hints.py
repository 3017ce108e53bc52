"""Hints: send ids of due runs to agents, as soon as the runs are due and again while they wait.

Only agents with free capacity get hints, and no more than they can start; a busy agent polls when it has finished. So
messages do not pile up for agents that are slow, or have stopped.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.db import close_old_connections
from django.db.models import OuterRef, Q, Subquery

from deployments.dispatch import hint_sender as dispatch
from deployments.dispatch.selectors.due import due_ids
from deployments.dispatch.selectors.liveness import online
from deployments.dispatch.waiting_agents import waiting_agents
from deployments.models import Lease, Worker, WorkQueue
from orchestration.compiled import Compiled
from orchestration.core.states import StateType
from orchestration.database_clock import current_time
from orchestration.outages import is_outage, outage
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import FlowRun

logger = logging.getLogger("orion.hints")

# Due runs that one pass reads. The runs behind them follow when these are gone.
BATCH = 500
# Runs that are stamped in one transaction. Claims skip them meanwhile, and give out later ones.
STAMPED_AT_ONCE = 25
SHORTEST = timedelta(seconds=15)
LONGEST = timedelta(seconds=60)
# Heartbeats for which a queue counts as new: one that may have been sent before it was created, and one answered late.
NEW_FOR_HEARTBEATS = 2


def hint_due_runs(now: datetime) -> int:
    """Send hints about due runs to agents with free capacity, and return their number: 0 without a broker."""
    if not dispatch.is_configured() or not _is_any_due(now):
        return 0
    capacity = free_capacity(now)
    if not capacity:
        return 0
    chosen = _to_hint_now(_read(due_ids(queues=list(capacity), before=now, limit=BATCH)), capacity, now)
    return _send(chosen, now)


def hint_again(*, run_id: UUID, now: datetime) -> bool:
    """Send a hint about a due run, even if there was one recently. Return whether it was sent."""
    due = FlowRun.objects.filter(pk=run_id, work_queue_id__isnull=False, next_scheduled_start_time__lte=now)
    runs = list(due.filter(state_type="SCHEDULED"))
    return dispatch.is_configured() and _send(runs, now) > 0


def _send(runs: Sequence[FlowRun], now: datetime) -> int:
    """Send hints about these runs, each portion as soon as it is stamped, and return their number."""
    portions = (runs[start : start + STAMPED_AT_ONCE] for start in range(0, len(runs), STAMPED_AT_ONCE))
    return sum(dispatch.send_soon(_with_first_queues(_stamped(portion, now), now)) for portion in portions)


def _is_any_due(now: datetime) -> bool:
    return bool(_first_without_hint(now, now - SHORTEST))


_first_without_hint = Compiled(
    lambda now, since: (
        FlowRun.objects.filter(
            Q(hinted_at__isnull=True) | Q(hinted_at__lt=since),
            state_type="SCHEDULED",
            work_queue_id__isnull=False,
            next_scheduled_start_time__lte=now,
        )
        .order_by()
        .values_list("pk")[:1]
    )
)
_agents_online = Compiled(
    lambda now: Worker.objects.filter(online(now), incarnation__isnull=False, draining=False).order_by()
)
_leases_of = Compiled(lambda ids: Lease.objects.filter(worker__in=ids).order_by().values_list("worker_id"))
_queues_by_pool = Compiled(
    lambda ids: WorkQueue.objects.filter(work_pool__in=ids).order_by().values_list("work_pool_id", "pk")
)


def free_capacity(now: datetime) -> dict[UUID, int]:
    """Return how many runs the agents of each queue could start now. An agent counts in each of its queues."""
    agents = _agents_online(now)
    held = Counter(worker for (worker,) in _leases_of([agent.pk for agent in agents])) if agents else Counter()
    of_pools = _queues_of_pools({agent.work_pool_id for agent in agents if agent.serves_pool})
    capacity: Counter[UUID] = Counter()
    for agent in agents:
        free = (agent.concurrency or 1) - held[agent.pk]
        queues = {UUID(queue_id) for queue_id in agent.queue_ids}
        if agent.serves_pool:
            queues |= of_pools.get(agent.work_pool_id, set())
        capacity.update(dict.fromkeys(queues, free) if free > 0 else {})
    return dict(capacity)


def _queues_of_pools(pool_ids: Collection[UUID]) -> dict[UUID, set[UUID]]:
    found: dict[UUID, set[UUID]] = {}
    for pool_id, queue_id in _queues_by_pool(list(pool_ids)) if pool_ids else ():
        found.setdefault(pool_id, set()).add(queue_id)
    return found


_rows_to_hint = Compiled(
    lambda ids: (
        FlowRun.objects.filter(pk__in=ids).only("work_queue_id", "hinted_at", "next_scheduled_start_time").order_by()
    )
)


def _read(ids: Sequence[UUID]) -> list[FlowRun]:
    """Return these runs, in order, with only the columns that decide about hints: parameters can be large."""
    rows = {run.pk: run for run in _rows_to_hint(list(ids))} if ids else {}
    return [rows[one] for one in ids if one in rows]


def _to_hint_now(due: Sequence[FlowRun], capacity: dict[UUID, int], now: datetime) -> list[FlowRun]:
    """Return the first runs of each queue, up to its capacity, without those that had a hint recently."""
    left = Counter(capacity)
    chosen = []
    for run in due:
        if run.work_queue_id is None or left[run.work_queue_id] <= 0:
            continue
        left[run.work_queue_id] -= 1
        if _may_be_hinted(run, now):
            chosen.append(run)
    return chosen


def _may_be_hinted(run: FlowRun, now: datetime) -> bool:
    if run.hinted_at is None:
        return True
    waited = now - (run.next_scheduled_start_time or now)
    return run.hinted_at <= now - hint_again_after(waited)


def hint_again_after(waited: timedelta) -> timedelta:
    """Return how old the last hint must be before the next one, for a run that has been due for `waited`."""
    return min(max(waited / 2, SHORTEST), LONGEST)


_locked = Compiled(
    lambda ids: (
        FlowRun.objects.filter(pk__in=ids, state_type="SCHEDULED")
        .select_for_update(skip_locked=True, no_key=True)
        .order_by()
        .values_list("pk", "hinted_at")
    )
)


@repeated_on_conflict
def _stamped(runs: Sequence[FlowRun], now: datetime) -> list[dispatch.Hint]:
    """Mark the runs as hinted, and return hints for those that no other server is hinting at the same time."""
    with write_transaction():
        last_hint = {run.pk: run.hinted_at for run in runs}
        same = {pk for pk, hinted_at in _locked(list(last_hint)) if hinted_at == last_hint[pk]}
        FlowRun.objects.filter(pk__in=same).update(hinted_at=now)
    return [dispatch.Hint(run.work_queue_id, run.pk) for run in runs if run.pk in same and run.work_queue_id]


# Queues that are no longer new.
_known_queues: set[UUID] = set()


def _with_first_queues(hints: list[dispatch.Hint], now: datetime) -> list[dispatch.Hint]:
    """Return the hints, with those for new queues also sent to the first queue of their pool.

    Agents of a whole pool learn about a new queue with their next heartbeat, and until then listen to the first queue.
    An agent that serves only the first queue gets nothing when it tries to claim such a run.
    """
    asked = {hint.work_queue_id for hint in hints} - _known_queues
    if not asked:
        return hints
    since = now - NEW_FOR_HEARTBEATS * timedelta(seconds=settings.ORION_HEARTBEAT_SECONDS)
    of_its_pool = WorkQueue.objects.filter(work_pool=OuterRef("work_pool")).order_by("created", "pk")
    found = WorkQueue.objects.filter(pk__in=asked).annotate(first=Subquery(of_its_pool.values("pk")[:1]))
    rows = list(found.values_list("pk", "created", "first"))
    _known_queues.update(pk for pk, created, _ in rows if created < since)
    first = {pk: first for pk, created, first in rows if since <= created <= now}
    beside = [
        dispatch.Hint(first[hint.work_queue_id], hint.flow_run_id) for hint in hints if hint.work_queue_id in first
    ]
    return list(dict.fromkeys([*hints, *beside]))


# --- at once, after commit -------------------------------------------------------------------------------------------


def run_changed(kind: str, run_id: UUID, state_type: str) -> None:
    """Look for due runs if a run waits, and wake an agent that waits at this server (`orchestration.announce`).

    Called after the commit in the thread of a request, so another thread does the search.
    """
    if kind == "agent":
        waiting_agents.wake(run_id)
    if kind == "flow-run" and state_type == StateType.SCHEDULED and dispatch.is_configured():
        _finder().wake()


class Finder:
    """A thread that looks for due runs when it is woken. Calls during a search cause one more search."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        threading.Thread(target=self._run, name="orion-hint-finder", daemon=True).start()

    def wake(self) -> None:
        self._woken.set()

    def _run(self) -> None:
        while True:
            self._woken.wait()
            # Before the search, so that a call during it causes another one.
            self._woken.clear()
            try:
                try:
                    hint_due_runs(current_time())
                finally:
                    # This may fail as well, and must not end the thread.
                    close_old_connections()
            except Exception as problem:
                # The ticker repeats the search a second later.
                if is_outage(problem):
                    outage.met(problem)
                else:
                    logger.exception("Due runs could not be looked up.")


@lru_cache(maxsize=1)
def _finder() -> Finder:
    return Finder()
