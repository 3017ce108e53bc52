"""The facts of a batch: read once for all items, and kept up to date as items take slots and remember results."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings

from deployments.models import ConcurrencyLimit, Slot
from orchestration.batch.items import TaskRunTransition
from orchestration.batch.loading import Loaded, MovingRun
from orchestration.core.decide import LimitUse, ParentFlowRun, PlaceUse
from orchestration.core.effects import Effect, ExpireCaches, ReleaseSlots, RememberResult, TakeSlots
from orchestration.core.states import State, StateType
from orchestration.facts import cached_states, locked_limits

Hold = tuple[str, UUID]


class BatchFacts:
    """`about` names the run that the rules ask about next; `perform` lets later items see what an earlier one did."""

    def __init__(self, items: Sequence[TaskRunTransition], loaded: Loaded, now: datetime) -> None:
        self.now = now
        self._parents = loaded.parents
        self._run: MovingRun | None = None
        self._draw: float | None = None
        self.limits = _limits(items, loaded)
        self._held_before = _holds(self.limits)
        self.held = {tag: set(holders) for tag, holders in self._held_before.items()}
        self._cached = _cached(items, now)
        self.remembered: dict[str, tuple[RememberResult, State]] = {}
        self.expired: set[UUID] = set()

    def about(self, moving: MovingRun, at: datetime) -> None:
        self._run = moving
        self.now = at
        self._draw = None

    @property
    def draw(self) -> float:
        if self._draw is None:
            self._draw = random.random()
        return self._draw

    @property
    def slot_wait_seconds(self) -> int:
        return int(settings.ORION_TAG_SLOT_WAIT_SECONDS)

    def parent_flow_run(self) -> ParentFlowRun | None:
        assert self._run is not None
        flow_run_id = self._run.run.flow_run_id
        return self._parents.get(flow_run_id) if flow_run_id else None

    def cached_state(self, cache_key: str) -> State | None:
        if cache_key in self.remembered:
            effect, state = self.remembered[cache_key]
            return state if effect.expires_at is None or effect.expires_at > self.now else None
        return self._cached.get(cache_key)

    def limits_on(self, tags: Sequence[str]) -> Sequence[LimitUse]:
        if not tags or not self.limits:
            return ()
        assert self._run is not None
        me = self._run.run.id
        return [
            LimitUse(tag, self.limits[tag].concurrency_limit, len(self.held[tag] - {me}))
            for tag in sorted(set(tags))
            if tag in self.limits
        ]

    def active_runs_of_same_flow(self) -> Sequence[UUID]:
        raise AssertionError("only the rules of flow runs ask for this")

    def places(self) -> Sequence[PlaceUse]:
        raise AssertionError("only the rules of flow runs ask for this")

    def perform(self, effects: Iterable[Effect], moving: MovingRun, state: State) -> None:
        for effect in effects:
            match effect:
                case TakeSlots():
                    for tag in effect.tags:
                        if tag in self.held:
                            self.held[tag].add(moving.run.id)
                case ReleaseSlots():
                    for tag in moving.run.tags:
                        if tag in self.held:
                            self.held[tag].discard(moving.run.id)
                case RememberResult():
                    self.remembered[effect.cache_key] = (effect, state)
                case ExpireCaches():
                    self._forget_results_of(moving.run.id)
                case _:
                    raise AssertionError(f"{effect} does not belong to task runs")

    def _forget_results_of(self, run_id: UUID) -> None:
        self.expired.add(run_id)
        for known in (self._cached, {key: state for key, (_, state) in self.remembered.items()}):
            for key in [key for key, state in known.items() if state.details.task_run_id == run_id]:
                self._cached.pop(key, None)
                self.remembered.pop(key, None)

    def slots_to_take(self) -> list[Hold]:
        return [(tag, run) for tag in self.held for run in self.held[tag] - self._held_before[tag]]

    def slots_to_release(self) -> list[Hold]:
        return [(tag, run) for tag in self.held for run in self._held_before[tag] - self.held[tag]]


def _limits(items: Sequence[TaskRunTransition], loaded: Loaded) -> dict[str, ConcurrencyLimit]:
    tags = {tag for moving in loaded.runs.values() for tag in moving.run.tags}
    tags.update(tag for item in items if item.create for tag in item.create.tags)
    return {limit.tag: limit for limit in locked_limits(sorted(tags))} if tags else {}


def _holds(limits: dict[str, ConcurrencyLimit]) -> dict[str, set[UUID]]:
    held: dict[str, set[UUID]] = {tag: set() for tag in limits}
    if limits:
        slots = Slot.objects.filter(limit__in=limits.values()).values_list("limit__tag", "task_run_id")
        for tag, run_id in slots:
            held[tag].add(run_id)
    return held


def _cached(items: Sequence[TaskRunTransition], now: datetime) -> dict[str, State]:
    keys = {
        item.proposed.details.cache_key
        for item in items
        if item.proposed and item.proposed.type is StateType.RUNNING and item.proposed.details.cache_key
    }
    return cached_states([key for key in keys if key], now) if keys else {}
