"""The times when a limit was full, computed from the runs that held its slots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from runs.time_spent.core.stretches import LIMIT, Held

# Between the release of a slot and its next use there is a short gap; the limit counts as full.
GAP = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that held a slot from `begin` to `end`."""

    id: UUID
    name: str
    begin: datetime
    end: datetime


def full_times(name: str, slots: int, holders: Sequence[Holder], begin: datetime, end: datetime) -> list[Held]:
    """Return the times when all slots were taken, each with the run that held its slot longest."""
    if slots < 1:
        return [Held(LIMIT, begin, end, name)] if end > begin else []
    cut = [Holder(one.id, one.name, max(one.begin, begin), min(one.end, end)) for one in holders]
    cut = [one for one in cut if one.end > one.begin]
    return [_held(name, start, stop, cut) for start, stop in _bridged(_full(cut, slots), end)]


def _full(holders: Iterable[Holder], slots: int) -> list[tuple[datetime, datetime]]:
    changes = sorted([(one.begin, 1) for one in holders] + [(one.end, -1) for one in holders])
    found, taken, since = [], 0, None
    for at, change in changes:
        taken += change
        if taken >= slots and since is None:
            since = at
        elif taken < slots and since is not None:
            found.append((since, at))
            since = None
    return found


def _bridged(times: Sequence[tuple[datetime, datetime]], end: datetime) -> list[tuple[datetime, datetime]]:
    found: list[tuple[datetime, datetime]] = []
    for begin, stop in times:
        if found and begin - found[-1][1] <= GAP:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((begin, stop))
    # A run that waits for the last slot gets it shortly after its release.
    if found and end - found[-1][1] <= GAP:
        found[-1] = (found[-1][0], end)
    return [(begin, stop) for begin, stop in found if stop > begin]


def _held(name: str, begin: datetime, end: datetime, holders: Iterable[Holder]) -> Held:
    longest = max(holders, key=lambda one: min(one.end, end) - max(one.begin, begin))
    return Held(LIMIT, begin, end, name, longest.id, longest.name)
