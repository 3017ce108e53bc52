"""Simulate a trigger on past events, in memory: when it would have fired, and because of which event.

A test compares it with `events.automations.services.trigger_states`, which keeps the same progress in rows.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from events.automations.core.matching import EventData
from events.automations.core.triggers import (
    OF_AUTOMATIONS,
    Count,
    EventTrigger,
    Fired,
    Trigger,
    advance,
    combine,
    elapsed,
    leaves,
    parent_of,
)

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Firing:
    """A trigger that would have fired. A watch may have no event."""

    at: datetime
    event_data: EventData | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How often an automation may fire, when a watch is over, and how much a simulation may do and keep."""

    firings: int
    per: timedelta
    grace: timedelta
    watches: int
    newest: int


@dataclass(slots=True)
class Simulation:
    """The progress of a trigger that has existed since `begin`. Feed it events in the order of their arrival."""

    trigger: Trigger
    begin: datetime
    limits: Limits
    # The resource of the automation itself, whose events it does not see.
    own_resource: str = ""
    fired: int = 0
    held_back: int = 0
    first: datetime | None = None
    newest: deque[Firing] = field(init=False)
    # Set when watches ended so often that the simulation gave up.
    gave_up_at: datetime | None = None
    _counts: dict[Key, tuple[Count, EventData | None]] = field(default_factory=dict)
    _composites: dict[str, Fired] = field(default_factory=dict)
    _ends: list[tuple[datetime, int, Key]] = field(default_factory=list)
    # The counts that exist, in the order in which they began to: those that end at the same moment end in this order.
    _orders: dict[Key, int] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=count)
    _recent: deque[datetime] = field(default_factory=deque)
    _leaves: dict[str, EventTrigger] = field(init=False)
    _watches: int = 0

    def __post_init__(self) -> None:
        self.newest = deque(maxlen=self.limits.newest)
        self._leaves = {one.id: one for one in leaves(self.trigger)}
        for one in self._leaves.values():
            if not (one.reactive or one.after or one.for_each):
                self._remember((one.id, "[]"), Count(self.begin, 0, self.begin + one.within), None)

    def feed(self, arrivals: Iterable[tuple[datetime, EventData]], *, until: datetime) -> None:
        """Count events, each with the time of its arrival, and let the time pass until the end."""
        for received, event_data in arrivals:
            self._pass_time(received)
            if self.gave_up_at is not None:
                return
            self._count(event_data, received)
        self._pass_time(until)

    def _count(self, event_data: EventData, now: datetime) -> None:
        if event_data.resource.get("prefect.resource.id") == self.own_resource:
            return
        is_of_automations = event_data.event.startswith(OF_AUTOMATIONS)
        for one in self._leaves.values():
            if not one.concerns(event_data) or (is_of_automations and not one.waits_for_automations()):
                continue
            key = one.id, one.bucket(event_data)
            before, _ = self._counts.get(key, (None, None))
            progress = advance(one, before, event_data)
            if progress.count is before and not progress.fired:
                continue
            self._remember(key, progress.count, event_data)
            if progress.fired:
                self._fire(one.id, event_data, event_data.occurred, now)

    def _pass_time(self, now: datetime) -> None:
        """End the counts whose time is over, in the order of their ends."""
        while self._ends and self._ends[0][0] + self.limits.grace <= now:
            ends_at, _, key = heapq.heappop(self._ends)
            stored, event_data = self._counts.get(key, (None, None))
            if stored is None or stored.ends_at != ends_at:
                continue
            self._watches += 1
            if self._watches > self.limits.watches:
                self.gave_up_at = ends_at
                return
            progress = elapsed(self._leaves[key[0]], stored)
            self._remember(key, progress.count, event_data)
            if progress.fired:
                self._fire(key[0], event_data, ends_at, ends_at + self.limits.grace)

    def _remember(self, key: Key, progress: Count | None, event_data: EventData | None) -> None:
        if progress is None:
            self._counts.pop(key, None)
            self._orders.pop(key, None)
            return
        before, _ = self._counts.get(key, (None, None))
        self._counts[key] = progress, event_data
        if key not in self._orders:
            self._orders[key] = next(self._numbers)
        if progress.ends_at is not None and (before is None or before.ends_at != progress.ends_at):
            heapq.heappush(self._ends, (progress.ends_at, self._orders[key], key))

    def _fire(self, trigger_id: str, event_data: EventData | None, at: datetime, now: datetime) -> None:
        parent = parent_of(self.trigger, trigger_id)
        if parent is None:
            self._set_off(Firing(at, event_data), now)
            return
        fired = self._composites.get(parent.id, Fired())
        self._composites[parent.id], is_complete = combine(parent, fired, trigger_id, at)
        if is_complete:
            self._fire(parent.id, event_data, at, now)

    def _set_off(self, firing: Firing, now: datetime) -> None:
        while self._recent and self._recent[0] <= now - self.limits.per:
            self._recent.popleft()
        if len(self._recent) >= self.limits.firings:
            self.held_back += 1
            return
        self._recent.append(now)
        self.fired += 1
        self.first = self.first or firing.at
        self.newest.append(firing)
