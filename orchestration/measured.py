"""Durations and events of this process, summed up for monitoring. A leaf that needs no other package.

Observing a duration costs a lock and two additions; nothing is written until the values are requested.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

# Upper bounds of the buckets, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A distribution at one moment: the number of durations up to each bound, the number of all, and their sum."""

    bounds: Sequence[float]
    up_to: Sequence[int]
    number: int
    total: float


class Distribution:
    """A histogram of durations."""

    __slots__ = ("_bounds", "_counts", "_lock", "_total")

    def __init__(self, bounds: Sequence[float] = BOUNDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._lock = Lock()

    def observe(self, seconds: float) -> None:
        seconds = max(seconds, 0.0)
        with self._lock:
            self._counts[bisect_left(self._bounds, seconds)] += 1
            self._total += seconds

    def seen(self) -> Seen:
        with self._lock:
            counts, total = list(self._counts), self._total
        up_to, number = [], 0
        for count in counts:
            number += count
            up_to.append(number)
        return Seen(self._bounds, up_to[:-1], number, total)


class Tally:
    """Counts events by name."""

    __slots__ = ("_counts", "_lock")

    def __init__(self, *names: str) -> None:
        self._counts = Counter(dict.fromkeys(names, 0))
        self._lock = Lock()

    def add(self, numbers: Mapping[str, int]) -> None:
        with self._lock:
            self._counts.update(numbers)

    def seen(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


# Runs that this server tried to claim for an agent. It claimed them, or another transaction had them first, or a rule
# refused.
claim_attempts = Tally("claimed", "taken", "refused")
# Seconds from the time for which a run was due until an agent claimed it.
claim_delay = Distribution()
# The age in seconds of the oldest report in a batch when it arrived, by the sender's clock.
report_delay = Distribution()
