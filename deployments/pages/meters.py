"""How much of a limit is taken, as a bar: its width is an attribute, so that no style is written into the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meter:
    """Slots taken under a limit; None: there is no limit."""

    taken: int
    limit: int | None

    @property
    def share(self) -> int:
        """Percent of the bar."""
        if self.limit is None:
            return 0
        return min(100, round(100 * self.taken / self.limit)) if self.limit else 100

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.taken >= self.limit
