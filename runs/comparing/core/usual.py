"""How unusual a duration is, by those of good runs before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runs.periods import period_text

# With fewer good runs, nothing is usual yet.
FEWEST = 5
# Without a history: so much longer or shorter, and by so many seconds, is a difference.
FACTOR = 1.5
SMALLEST = 0.1
# What lies within the usual range, widened by this, is no news.
SLACK = 0.25


@dataclass(frozen=True, slots=True)
class Usual:
    """The durations of good runs, in seconds, shortest first."""

    seconds: Sequence[float] = ()

    @property
    def is_known(self) -> bool:
        return len(self.seconds) >= FEWEST

    @property
    def low(self) -> float:
        return self._at(0.05)

    @property
    def high(self) -> float:
        return self._at(0.95)

    def _at(self, share: float) -> float:
        return self.seconds[round(share * (len(self.seconds) - 1))]

    def note(self, seconds: float) -> str:
        """Say how this duration stands among the usual ones; nothing where there are too few."""
        if not self.is_known:
            return ""
        number = len(self.seconds)
        longer = sum(one < seconds for one in self.seconds)
        if seconds > self.seconds[-1]:
            standing = f"longer than each of the last {number} good runs"
        elif seconds < self.seconds[0]:
            standing = f"shorter than each of the last {number} good runs"
        else:
            standing = f"longer than {longer} of the last {number} good runs"
        low, high = period_text(self.low), period_text(self.high)
        return f"{standing}, which took {low} to {high}" if low != high else f"{standing}, which took {low}"


def differs(before: float, after: float, usual: Usual) -> bool:
    """Whether a duration is news beside the other one: far from it, and outside of what is usual."""
    if abs(after - before) < SMALLEST or max(before, after) < FACTOR * min(before, after):
        return False
    return not usual.is_known or not usual.low * (1 - SLACK) <= after <= usual.high * (1 + SLACK)
