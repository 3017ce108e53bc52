"""How long things took in this process, added up for whoever watches it. A leaf that needs no other package.

Observing costs a lock and two additions; nothing is written down until somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

# In seconds: from what nobody notices to what everybody does.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A distribution at one moment: how many were at most as long as each bound, all of them, and their sum."""

    bounds: Sequence[float]
    up_to: Sequence[int]
    number: int
    total: float


class Distribution:
    """Durations by how long they were."""

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


# From the moment for which a run was due to its claim by an agent.
claim_delay = Distribution()
# How old the oldest report of a batch was when it came, by the sender's own clock.
report_delay = Distribution()
