"""Global limits: whether slots can be taken, and how long a denied taker should wait. Pure; services lock and store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

LEAST_OCCUPANCY = 0.1
"""Seconds. The shortest wait that a denied taker is given, and the shortest occupancy that is assumed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The state of one limit as of `counted_at`.

    `taken` counts slots of anonymous takers; `held` counts slots of identified holders. Slots that are taken now count
    as held if the taker is `named`.
    """

    limit: int
    active: bool
    taken: float
    denied: float
    decay: float
    average_occupancy: float
    counted_at: datetime
    held: int = 0
    named: bool = False

    def has_room_for(self, slots: int) -> bool:
        # Decay leaves fractions such as 1e-16, which must not make a free slot unavailable.
        return not self.active or self.taken + self.held + slots <= self.limit + 1e-9

    def with_taken(self, slots: int) -> Usage:
        if not self.active:
            return self
        return replace(self, held=self.held + slots) if self.named else replace(self, taken=self.taken + slots)


@dataclass(frozen=True, slots=True)
class Taken:
    """The slots were available. `usages` include them, in the order of the request."""

    usages: tuple[Usage, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """A limit had too few slots. Nothing was taken; the taker should ask again after `retry_after` seconds."""

    usages: tuple[Usage, ...]
    retry_after: float


def take(usages: Sequence[Usage], slots: int, now: datetime) -> Taken | Denied:
    """Take slots of every active limit, or of none."""
    present = [as_of(usage, now) for usage in usages]
    if all(usage.has_room_for(slots) for usage in present):
        return Taken(tuple(usage.with_taken(slots) for usage in present))
    waits = [_seconds_until(usage, slots) for usage in present if usage.active]
    return Denied(tuple(replace(u, denied=u.denied + slots) if u.active else u for u in present), max(waits))


def give_back(usage: Usage, slots: int, occupancy_seconds: float | None, now: datetime) -> Usage:
    """Return slots, not below zero. The time that they were held improves the estimate for later waits."""
    present = as_of(usage, now)
    taught = present if occupancy_seconds is None else learn(present, slots, occupancy_seconds)
    return replace(taught, taken=max(present.taken - slots, 0.0))


def learn(usage: Usage, slots: int, occupancy_seconds: float) -> Usage:
    samples = max(2 * usage.limit, 1)
    held = max(occupancy_seconds / slots, LEAST_OCCUPANCY)
    return replace(usage, average_occupancy=usage.average_occupancy + (held - usage.average_occupancy) / samples)


def as_of(usage: Usage, now: datetime) -> Usage:
    """Return the limit at a later time: slots have decayed, and denied takers have asked again or given up."""
    seconds = max((now - usage.counted_at).total_seconds(), 0.0)
    forgetting = usage.decay or 1 / max(usage.average_occupancy, LEAST_OCCUPANCY)
    return replace(
        usage,
        taken=max(usage.taken - usage.decay * seconds, 0.0),
        denied=max(usage.denied - forgetting * seconds, 0.0),
        counted_at=max(now, usage.counted_at),
    )


def _seconds_until(usage: Usage, slots: int) -> float:
    """Return the wait for these slots, after those of takers that were denied before."""
    waiting = slots + usage.denied
    if usage.decay:
        return waiting / usage.decay
    return usage.average_occupancy * waiting / max(usage.limit, 1)
