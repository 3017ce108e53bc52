"""The facts that rules ask for, read from the database. Each costs its queries only when it is first asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID
from weakref import WeakMethod

from django.conf import settings
from django.db import connection
from django.db.models import Case, Count, Q, When

from deployments.models import ConcurrencyLimit, Slot
from orchestration.core.decide import ParentFlowRun
from orchestration.core.rules.concurrency import LimitUse
from orchestration.core.rules.queueing import SlotUse
from orchestration.core.states import NO_DETAILS, State, StateDetails, StateType
from orchestration.effects import Effects, indexed_key
from orchestration.json_columns import details_from
from orchestration.moving import MovingRun
from orchestration.run_slots import RunSlots
from orchestration.sight import reusable
from orchestration.tables import dialect, json_text
from runs.models import CacheEntry, Flow, FlowRun, FlowRunState, TaskRunState


class Facts:
    """The facts about the runs of one unit of work, including effects that are not written yet.

    `about` sets the run that the rules ask about next. A fact that is asked for one run is read for all of them.
    """

    def __init__(
        self,
        runs: Mapping[UUID, MovingRun],
        effects: Effects,
        now: datetime,
        write_first: WeakMethod[Callable[[], None]],
    ) -> None:
        self.now = now
        # Tags and cache keys of runs that are judged later, so that they are read together with the first ones.
        self.expected_tags: set[str] = set()
        self.expected_keys: set[str] = set()
        self._runs = runs
        self._effects = effects
        self._read_at = now
        # Writes pending changes: what other runs of a flow, a queue or a deployment do is counted in the database.
        self._write_first = write_first
        self._draw: float | None = None
        self._moving: MovingRun | None = None
        # Not reset when rows are written: it counts once under locks, and then counts on by itself.
        self._run_slots = RunSlots()
        self.forget()

    def _write(self) -> None:
        if write := self._write_first():
            write()

    def forget(self) -> None:
        """Forget what was read, because the rows have changed."""
        self._limits: dict[str, ConcurrencyLimit | None] = {}
        # By tag: the runs of this unit that hold a slot, and the number of other runs that do.
        self._holders: dict[str, set[UUID]] = {}
        self._others: dict[str, int] = {}
        self._cached: dict[str, State | None] = {}
        self._pauses: dict[UUID, StateDetails] | None = None

    def about(self, moving: MovingRun, now: datetime) -> None:
        self._moving = moving
        self.now = now
        self._draw = None

    @property
    def draw(self) -> float:
        if self._draw is None:
            self._draw = random.random()
        return self._draw

    @property
    def slot_wait_seconds(self) -> int:
        return int(settings.ORION_TAG_SLOT_WAIT_SECONDS)

    # --- of task runs --------------------------------------------------------------------------------------------

    def parent_flow_run(self) -> ParentFlowRun | None:
        assert self._moving is not None
        parent = self._moving.stored.parent
        if parent is None or parent.state is None or parent.state.type is not StateType.PAUSED:
            return parent
        # A task that meets a pause copies its deadline. Only then the details of the parent's state are read.
        if self._pauses is None:
            parents = (moving.stored.parent for moving in self._runs.values())
            self._pauses = _details_of_pauses([one for one in parents if one is not None])
        return replace(parent, state=replace(parent.state, details=self._pauses.get(parent.id, NO_DETAILS)))

    def number_of_claims(self) -> int:
        assert self._moving is not None
        self._write()
        # Calls begin as SCHEDULED, so none of their states is folded.
        return TaskRunState.objects.filter(task_run=self._moving.run.id, type=StateType.PENDING.value).count()

    def cached_state(self, cache_key: str) -> State | None:
        if cache_key in self._effects.remembered:
            effect, state = self._effects.remembered[cache_key]
            return state if effect.expires_at is None or effect.expires_at > self.now else None
        if cache_key in self._effects.forgotten:
            return None
        if cache_key not in self._cached:
            keys = (self.expected_keys | {cache_key}) - self._cached.keys()
            self._cached |= {**dict.fromkeys(keys), **cached_states(keys, self._read_at)}
        cached = self._cached[cache_key]
        return None if cached is None or cached.details.task_run_id in self._effects.expired else cached

    def limits_on(self, tags: Sequence[str]) -> Sequence[LimitUse]:
        assert self._moving is not None
        if not self._limits.keys() >= set(tags):
            self._read_limits(set(tags))
        me = self._moving.run.id
        known = ((tag, self._limits[tag]) for tag in sorted(set(tags)))
        return [
            LimitUse(tag, limit.concurrency_limit, self._others[tag] + len(self._holding(tag) - {me}))
            for tag, limit in known
            if limit is not None
        ]

    def _read_limits(self, tags: set[str]) -> None:
        """Lock the limits until the end of the transaction, and count the holders of their slots."""
        tags |= self.expected_tags
        tags.update(tag for moving in self._runs.values() if moving.run.kind == "task-run" for tag in moving.run.tags)
        limits = locked_limits(tags - self._limits.keys())
        self._limits |= {**dict.fromkeys(tags - self._limits.keys()), **{limit.tag: limit for limit in limits}}
        self._holders |= {limit.tag: set() for limit in limits}
        self._others |= {limit.tag: 0 for limit in limits}
        for tag, holder, number in slots_taken(limits, self._runs.keys()) if limits else ():
            if holder is None:
                self._others[tag] = number
            else:
                self._holders[tag].add(holder)

    def _holding(self, tag: str) -> set[UUID]:
        return (self._holders[tag] - self._effects.released) | self._effects.taken.get(tag, {}).keys()

    def limit_ids(self) -> dict[str, UUID]:
        return {tag: limit.pk for tag, limit in self._limits.items() if limit is not None}

    def may_hold_a_slot(self, run_id: UUID) -> bool:
        """Whether the run may have a slot to release, as far as is known without a query."""
        tags = self._runs[run_id].run.tags
        return any(tag not in self._limits or run_id in self._holders.get(tag, ()) for tag in tags)

    # --- of flow runs --------------------------------------------------------------------------------------------

    def active_runs_of_same_flow(self) -> Sequence[UUID]:
        assert self._moving is not None
        self._write()
        stored, run = self._moving.stored, self._moving.run
        assert stored.flow_id is not None
        # Lock the flow's row: two runs that start at the same time must not both find that no other run is active.
        Flow.objects.select_for_update(no_key=True).filter(pk=stored.flow_id).values_list("pk").first()
        active = FlowRun.objects.in_state(StateType.RUNNING, StateType.CANCELLING).exclude(pk=run.id)
        if run.policy.overlap_scope == "deployment" and run.deployment_id:
            active = active.filter(deployment_id=run.deployment_id)
        else:
            active = active.filter(flow_id=stored.flow_id)
        found = list(active.order_by("expected_start_time", "pk").values_list("pk", flat=True))
        above = flow_runs_above(run.parent_task_run_id) if found and run.parent_task_run_id else frozenset()
        return [run_id for run_id in found if run_id not in above]

    def run_slots(self) -> Sequence[SlotUse]:
        assert self._moving is not None
        return self._run_slots.of(self._moving, self._runs.values())

    def entered(self, moving: MovingRun, before: State | None, state: State) -> None:
        """Note that a flow run entered a state, with which it may have taken or released slots."""
        self._run_slots.entered(moving, before, state)


def flow_runs_above(parent_task_run_id: UUID) -> frozenset[UUID]:
    """Return the flow run of this task run, the flow run in which that is nested, and so on."""
    db = dialect()
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE above(id) AS (SELECT flow_run_id FROM runs_taskrun WHERE id = %s UNION "
            "SELECT t.flow_run_id FROM above JOIN runs_flowrun f ON f.id = above.id "
            "JOIN runs_taskrun t ON t.id = f.parent_task_run_id) SELECT id FROM above WHERE id IS NOT NULL",
            [db.uuid(parent_task_run_id)],
        )
        return frozenset(db.read_uuid(row[0]) for row in cursor.fetchall())


def locked_limits(tags: Collection[str]) -> list[ConcurrencyLimit]:
    """Return the limits on these tags, locked until the end of the transaction, ordered by id to avoid deadlocks."""
    return list(ConcurrencyLimit.objects.select_for_update(no_key=True).filter(tag__in=tags).order_by("pk"))


def slots_taken(
    limits: Sequence[ConcurrencyLimit], of_runs: Collection[UUID]
) -> Iterable[tuple[str, UUID | None, int]]:
    """Return, by tag, each of these runs that holds a slot; and, with None as the run, the number of other holders."""
    own = Case(When(task_run_id__in=of_runs, then="task_run_id"), default=None)
    rows = Slot.objects.filter(limit__in=[limit.pk for limit in limits]).annotate(holder=own)
    return rows.values_list("limit__tag", "holder").annotate(Count("pk")).order_by()


def cached_states(cache_keys: Iterable[str], now: datetime) -> dict[str, State]:
    """Return the state for each key that has one that the sender of the request may reuse."""
    by_column = {indexed_key(key): key for key in cache_keys}
    entries = CacheEntry.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), cache_key__in=by_column)
    found = list(entries.select_related("task_run_state__task_run"))
    allowed = reusable({entry.task_run_state.task_run_id for entry in found})
    return {
        by_column[entry.cache_key]: state_of_entry(entry)
        for entry in found
        if entry.task_run_state.task_run_id in allowed
    }


def state_of_entry(entry: CacheEntry) -> State:
    row = entry.task_run_state
    return State(
        id=row.id,
        type=StateType(row.type),
        name=row.name,
        timestamp=row.timestamp,
        message=row.message,
        data=row.data,
        details=details_from(json_text(row.details), row.task_run.flow_run_id, row.task_run_id),
    )


def _details_of_pauses(parents: Iterable[ParentFlowRun]) -> dict[UUID, StateDetails]:
    """Return the details of the states of paused flow runs, by flow run."""
    paused = {p.state.id: p.id for p in parents if p.state is not None and p.state.type is StateType.PAUSED}
    states = FlowRunState.objects.filter(pk__in=list(paused)).values_list("pk", "details")
    return {paused[pk]: details_from(json_text(details), paused[pk], None) for pk, details in states}
