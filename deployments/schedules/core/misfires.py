"""Times that nobody was there to plan: which of them are made up for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal


def decide_missed(
    times: Sequence[datetime],
    policy: Literal["all", "latest", "none"],
    window: timedelta | None,
    now: datetime,
    most: int = 100,
) -> list[datetime]:
    """The missed times that get a run after all: all of them (the newest `most`), the latest, or none; none of them is
    older than `window`."""
    if policy == "none" or not times:
        return []
    recent = [at for at in times if window is None or now - at <= window]
    return recent[-1:] if policy == "latest" else recent[-most:]
