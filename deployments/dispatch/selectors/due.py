"""Which runs may start now: those that are due, not paused, and within the limits of queue, pool and deployment.

This takes a few queries for any number of waiting runs: each queue yields its first runs in the order of an index or,
in a pool that shares fairly, the first runs of each deployment. The result is advice: each claim is judged again, under
a lock, by the rule TakeQueueSlots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from deployments.dispatch.core.hand_out import Candidate, Share, Taker, hand_out, in_turn
from deployments.dispatch.selectors.shares import MOST_OF_ONE, first_of_each_deployment, going, shares_of
from deployments.limits.selectors.capacity import (
    Room,
    chosen_by,
    full_deployments,
    holding_by_deployment,
    room_in,
    room_of_deployments,
)
from deployments.models import Deployment, WorkQueue
from orchestration.authors import refused_rows
from orchestration.compiled import Compiled, Statement
from orchestration.tables import dialect
from runs.models import FlowRun

# SQLite joins at most 500 selects in a compound statement, with about 32,000 parameters.
_MOST_LINES = 200
_MOST_VALUES = 20_000
# Without the key the comparison is NULL, and its negation, too: check for NULL separately.
_WAITS_FOR_AN_AGENT = Q(empirical_policy__retry_type__isnull=True) | ~Q(empirical_policy__retry_type="in_process")


EVERY_RUN = Q()
# The runs that Orion's agents can start. A deployment without an entry point, or with an infrastructure block, is meant
# for workers and agents of other clients.
FOR_AGENTS = Q(infrastructure_document_id__isnull=True) & ~Q(
    Exists(Deployment.objects.filter(pk=OuterRef("deployment_id"), entrypoint__isnull=True))
)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of waiting runs: its runs, its priority, and how many of them may start."""

    runs: Q
    priority: int
    room: int
    queue: WorkQueue | None = None

    @property
    def fair_share(self) -> str | None:
        pool = self.queue.work_pool if self.queue else None
        return pool.fair_share if pool else None


@dataclass(frozen=True, slots=True)
class _Found:
    """A run of a line. `due` is in the database's own notation, and only compared."""

    line: _Line
    due: Any
    id: UUID
    queue_id: UUID | None
    deployment_id: UUID | None


@dataclass(frozen=True, slots=True)
class _Search:
    """Which runs are looked for, and how many of each line."""

    before: datetime | None
    after: datetime | None
    among: Q
    limit: int
    # Deployments without a free slot, and those whose planned runs are refused.
    full: Sequence[UUID]
    refused: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Advice:
    """The runs that could start, each judged alone, and the room and shares that decide which of them do."""

    candidates: Sequence[Candidate] = ()
    room: Mapping[UUID, int] | None = None
    going: Mapping[Share, int] | None = None
    # Whether a queue, or a deployment in it, may have more waiting runs than were read.
    is_cut: bool = False

    def among(self, takers: Sequence[Taker]) -> list[tuple[Candidate, int]]:
        return hand_out(self.candidates, takers, self.room or {}, self.going)

    def in_order(self, takers: Sequence[Taker], spare: int) -> list[Candidate]:
        """Return the runs for these takers in order, and `spare` more: whichever of them are free, the first are next.

        Empty if the order depends on who takes a run, or on which others are taken: a share has its turn again later,
        and a run that a limit holds back is next if one before it is not free.
        """
        lines = {taker.lines for taker in takers if taker.wanted}
        if len(lines) != 1 or self.going or any(taker.named for taker in takers):
            return []
        wanted, served = sum(taker.wanted for taker in takers) + spare, lines.pop()
        runs = [run for run, _ in self.among([Taker(wanted, served)])]
        all_served = (run for run in self.candidates if served is None or run.line in served)
        return runs if runs == in_turn(all_served)[: len(runs)] else []

    def only(self, runs: Sequence[Candidate]) -> Advice:
        return replace(self, candidates=runs)

    def without(self, ids: Collection[UUID]) -> Advice:
        return replace(self, candidates=[run for run in self.candidates if run.id not in ids]) if ids else self

    def after(self, tried: Sequence[Candidate], given: Sequence[Candidate]) -> Advice:
        """Return the rest of the advice: without the runs that were tried, of which some were given to agents."""
        room, active = Counter(self.room or {}), Counter(self.going or {})
        room.subtract(limit for run in given for limit in run.limits if limit in room)
        active.update(run.share for run in given if run.share)
        return replace(self.without({run.id for run in tried}), room=room, going=active)


def due_ids(
    *,
    queues: Sequence[UUID] | None = None,
    deployments: Sequence[UUID] | None = None,
    before: datetime | None,
    after: datetime | None = None,
    limit: int,
    among: Q = EVERY_RUN,
) -> list[UUID]:
    """Return ids of scheduled runs of these queues or deployments that may start, most urgent first.

    `before` and `after` limit the scheduled time; without `before`, future runs are included. Runs that wait for a
    retry in their own process are excluded. With neither queues nor deployments, all queues are searched. `among` adds
    a condition, such as FOR_AGENTS.
    """
    if limit <= 0:
        return []
    if deployments is None:
        room = room_in(queues)
        lines = _lines_of_queues(room)
    else:
        room = room_in(_queues_of(deployments))
        lines = [_Line(Q(deployment_id=one) & ~Q(work_queue_id__in=room.closed), 1, limit) for one in deployments]
    advice = _advice(room, lines, before=before, after=after, limit=limit, among=among)
    return [run.id for run, _ in advice.among([Taker(limit)])]


def due_in(room: Room, *, before: datetime, limit: int, spare: int, among: Q) -> Advice:
    """Return the first due runs of these queues: up to `limit` of each, and `spare` more than there is room for."""
    lines = [replace(line, room=line.room + spare) for line in _lines_of_queues(room)]
    return _advice(room, lines, before=before, after=None, limit=limit, among=among)


def in_order(ids: Sequence[UUID]) -> list[FlowRun]:
    """Return the runs in the order of their ids, without those deleted meanwhile."""
    rows: Mapping[UUID, FlowRun] = FlowRun.objects.in_bulk(ids) if ids else {}
    return [rows[one] for one in ids if one in rows]


def _advice(
    room: Room, lines: Sequence[_Line], *, before: datetime | None, after: datetime | None, limit: int, among: Q
) -> Advice:
    if not lines:
        return Advice()
    holding = holding_by_deployment()
    full, refused = full_deployments(holding), refused_rows("deployments.run", Deployment._meta.db_table)
    search = _Search(before, after, among, limit, full, refused)
    found = list(_first_of(lines, search))
    if not found:
        return Advice()
    # Full deployments are not among them, so each has room for at least one run.
    of_each = Counter(one.deployment_id for one in found if one.deployment_id)
    free = room_of_deployments([one for one, runs in of_each.items() if runs > 1], holding)
    fair = {line.queue.work_pool_id: line.fair_share for line in lines if line.queue and line.fair_share}
    shares = shares_of(fair, holding, {one.deployment_id for one in found}) if fair else {}
    pools = {queue.pk: queue.work_pool_id for queue in room.queues}
    candidates = [
        Candidate(
            one.id,
            one.line.priority,
            one.due,
            one.line.queue.pk if one.line.queue else None,
            _limits(one, pools),
            shares.get((one.line.queue.work_pool_id, one.deployment_id)) if shares and one.line.queue else None,
        )
        for one in found
    ]
    shown = Counter((id(one.line), one.line.fair_share and one.deployment_id) for one in found)
    is_cut = any(number >= min(limit, MOST_OF_ONE) if of else number >= limit for (_, of), number in shown.items())
    return Advice(candidates, {**room.of_queues, **room.of_pools, **free}, going(shares, holding, fair), is_cut)


def _limits(one: _Found, pools: Mapping[UUID, UUID | None]) -> tuple[UUID, ...]:
    pool_id = pools.get(one.queue_id) if one.queue_id else None
    return tuple(limit for limit in (one.queue_id, pool_id, one.deployment_id) if limit)


def _lines_of_queues(room: Room) -> list[_Line]:
    open_queues = [queue for queue in room.queues if room.in_queue(queue) > 0]
    return [_Line(chosen_by(queue), queue.priority, room.in_queue(queue), queue) for queue in open_queues]


def _queues_of(deployments: Sequence[UUID]) -> set[UUID]:
    found = Deployment.objects.filter(pk__in=deployments, work_queue__isnull=False)
    return {queue_id for queue_id in found.values_list("work_queue_id", flat=True) if queue_id}


def _startable(after: datetime | None, before: datetime | None, full: Sequence[UUID], refused: Sequence[UUID]) -> Q:
    condition = Q(state_type="SCHEDULED") & _WAITS_FOR_AN_AGENT
    if full:
        condition &= ~Q(deployment_id__in=full)
    if refused:
        condition &= ~Q(deployment_id__in=refused, auto_scheduled=True)
    if before is not None:
        condition &= Q(next_scheduled_start_time__lte=before)
    if after is not None:
        condition &= Q(next_scheduled_start_time__gte=after)
    return condition


def _first_of(lines: Sequence[_Line], search: _Search) -> Iterator[_Found]:
    """Yield the first runs of each line, with one statement for many lines.

    On SQLite, the ORM does not support a `union` of queries with limits, so the compiled queries are joined here.
    """
    at_once = max(min(_MOST_LINES, _MOST_VALUES // (len(search.full) + len(search.refused) + 10)), 1)
    for start in range(0, len(lines), at_once):
        some = lines[start : start + at_once]
        yield from _fetched([_first_of_line(line, search) for line in some], some)


def _first_of_line(line: _Line, search: _Search) -> Statement:
    limit, before, full, refused = min(search.limit, line.room), search.before, list(search.full), list(search.refused)
    is_usual = line.queue is not None and not line.queue.filter and not line.fair_share
    if is_usual and search.after is None and (search.among is FOR_AGENTS or search.among is EVERY_RUN):
        assert line.queue is not None
        return _first_of_queue.statement(line.queue.pk, before, full, refused, limit, search.among is FOR_AGENTS)
    runs = _in_order(line.runs, search.among & _startable(search.after, before, full, refused))
    return first_of_each_deployment(runs, limit) if line.fair_share else _limited(runs, limit).query.sql_with_params()


def _in_order(*conditions: Q) -> QuerySet[FlowRun]:
    return FlowRun.objects.filter(*conditions).order_by("next_scheduled_start_time", "pk")


def _limited(runs: QuerySet[FlowRun], limit: int) -> QuerySet[FlowRun, tuple[Any, ...]]:
    return runs.values_list("next_scheduled_start_time", "pk", "work_queue_id", "deployment_id")[:limit]


def _of_queue(
    queue_id: UUID, before: datetime | None, full: list[UUID], refused: list[UUID], limit: int, for_agents: bool
) -> QuerySet[FlowRun, tuple[Any, ...]]:
    among = FOR_AGENTS if for_agents else EVERY_RUN
    return _limited(_in_order(Q(work_queue_id=queue_id), among & _startable(None, before, full, refused)), limit)


# For the claims of agents, and for hints.
_first_of_queue = Compiled(_of_queue)


def _fetched(branches: Sequence[tuple[str, tuple[Any, ...]]], lines: Sequence[_Line]) -> Iterator[_Found]:
    selects = [f"SELECT {number}, first.* FROM ({sql}) AS first" for number, (sql, _) in enumerate(branches)]
    read_uuid = dialect().read_uuid
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), [value for _, values in branches for value in values])
        for number, due, run_id, queue_id, deployment_id in cursor.fetchall():
            queue, deployment = (one and read_uuid(one) for one in (queue_id, deployment_id))
            yield _Found(lines[number], due, read_uuid(run_id), queue, deployment)
