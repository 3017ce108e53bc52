"""What rules may ask of the database. An answer costs its queries when it is first asked for, and nothing otherwise."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q

from deployments.models import ConcurrencyLimit, Slot
from orchestration.columns import details_from, json_text, spelling
from orchestration.core.decide import LimitUse, ParentFlowRun, PlaceUse
from orchestration.core.states import State, StateType
from orchestration.places import places_of
from orchestration.stored import StoredRun
from runs.models import CacheEntry, Flow, FlowRun, FlowRunState


class StoredFacts:
    """The facts about one proposal for one run."""

    def __init__(self, stored: StoredRun, now: datetime) -> None:
        self._stored = stored
        self._now = now

    @property
    def now(self) -> datetime:
        return self._now

    @cached_property
    def draw(self) -> float:
        return random.random()

    @property
    def slot_wait_seconds(self) -> int:
        return int(settings.ORION_TAG_SLOT_WAIT_SECONDS)

    def parent_flow_run(self) -> ParentFlowRun | None:
        return self._parent

    @cached_property
    def _parent(self) -> ParentFlowRun | None:
        parent = self._stored.parent
        return with_pause_details([parent])[parent.id] if parent else None

    def cached_state(self, cache_key: str) -> State | None:
        return cached_states([cache_key], self._now).get(cache_key)

    def limits_on(self, tags: Sequence[str]) -> Sequence[LimitUse]:
        if not tags:
            return ()
        limits = locked_limits(tags)
        taken = slots_taken([limit.pk for limit in limits], but_by=self._stored.run.id)
        return [LimitUse(limit.tag, limit.concurrency_limit, taken.get(limit.pk, 0)) for limit in limits]

    def active_runs_of_same_flow(self) -> Sequence[UUID]:
        stored, run = self._stored, self._stored.run
        assert stored.flow_id is not None
        # Two runs that start together must not both find themselves alone: they meet at the row of their flow.
        Flow.objects.select_for_update(no_key=True).filter(pk=stored.flow_id).values_list("pk").first()
        active = FlowRun.objects.in_state(StateType.RUNNING, StateType.CANCELLING).exclude(pk=run.id)
        if run.policy.overlap_scope == "deployment" and run.deployment_id:
            active = active.filter(deployment_id=run.deployment_id)
        else:
            active = active.filter(flow_id=stored.flow_id)
        found = list(active.order_by("expected_start_time", "pk").values_list("pk", flat=True))
        above = flow_runs_above(run.parent_task_run_id) if found and run.parent_task_run_id else frozenset()
        return [run_id for run_id in found if run_id not in above]

    def places(self) -> Sequence[PlaceUse]:
        return places_of(self._stored.work_queue_id, self._stored.run.deployment_id)


def flow_runs_above(parent_task_run_id: UUID) -> frozenset[UUID]:
    """The flow run of this task run, the one that it is nested in, and so on."""
    spell = spelling()
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE above(id) AS (SELECT flow_run_id FROM runs_taskrun WHERE id = %s UNION "
            "SELECT t.flow_run_id FROM above JOIN runs_flowrun f ON f.id = above.id "
            "JOIN runs_taskrun t ON t.id = f.parent_task_run_id) SELECT id FROM above WHERE id IS NOT NULL",
            [spell.uuid(parent_task_run_id)],
        )
        return frozenset(spell.read_uuid(row[0]) for row in cursor.fetchall())


def locked_limits(tags: Sequence[str]) -> list[ConcurrencyLimit]:
    """The limits on these tags, held until the end of the transaction; in the order of their ids, against deadlock."""
    return list(ConcurrencyLimit.objects.select_for_update(no_key=True).filter(tag__in=set(tags)).order_by("pk"))


def slots_taken(limit_ids: Sequence[UUID], but_by: UUID) -> dict[UUID, int]:
    if not limit_ids:
        return {}
    slots = Slot.objects.filter(limit_id__in=limit_ids).exclude(task_run_id=but_by)
    return dict(slots.values_list("limit_id").annotate(Count("pk")).order_by())


def cached_states(cache_keys: Iterable[str], now: datetime) -> dict[str, State]:
    """For each key the state that may still be reused."""
    by_column = {indexed_key(key): key for key in cache_keys}
    entries = CacheEntry.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), cache_key__in=by_column)
    return {
        by_column[entry.cache_key]: state_of_entry(entry)
        for entry in entries.select_related("task_run_state__task_run")
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


def indexed_key(cache_key: str) -> str:
    if len(cache_key) <= 255:
        return cache_key
    return f"sha256:{hashlib.sha256(cache_key.encode()).hexdigest()}"


def with_pause_details(parents: Sequence[ParentFlowRun]) -> dict[UUID, ParentFlowRun]:
    """The flow runs, paused ones with the details of their state: a task that meets a pause takes its deadline."""
    paused = {p.state.id: p for p in parents if p.state is not None and p.state.type is StateType.PAUSED}
    known = {parent.id: parent for parent in parents}
    if paused:
        for state_id, details in FlowRunState.objects.filter(pk__in=list(paused)).values_list("pk", "details"):
            parent = paused[state_id]
            assert parent.state is not None
            state = replace(parent.state, details=details_from(json_text(details), parent.id, None))
            known[parent.id] = replace(parent, state=state)
    return known
