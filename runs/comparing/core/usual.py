"""How unusual a duration is, compared with those of earlier good runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runs.periods import period_text

# With fewer good runs than this, there is no usual duration.
FEWEST = 5
# Two durations differ if their ratio and their difference in seconds are at least these.
FACTOR = 1.5
SMALLEST = 0.1
# The range of usual durations is widened by this share before a duration counts as unusual.
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
        """Return how this duration compares with the usual ones; an empty text where there are too few good runs."""
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
    """Whether two durations differ enough to mention: by factor and by seconds, and outside of the usual range."""
    if abs(after - before) < SMALLEST or max(before, after) < FACTOR * min(before, after):
        return False
    return not usual.is_known or not usual.low * (1 - SLACK) <= after <= usual.high * (1 + SLACK)
