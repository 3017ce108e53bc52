"""How much of a limit is taken, as a bar. Its width is an attribute, because pages have no inline styles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meter:
    """The slots taken of a limit; None for no limit."""

    taken: int
    limit: int | None

    @property
    def share(self) -> int:
        """Return the filled part of the bar in percent."""
        if self.limit is None:
            return 0
        return min(100, round(100 * self.taken / self.limit)) if self.limit else 100

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.taken >= self.limit
