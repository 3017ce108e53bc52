"""When agents are told again of a run that still waits: soon at first, then less and less often."""

from __future__ import annotations

from datetime import timedelta

SHORTEST = timedelta(seconds=15)
LONGEST = timedelta(seconds=60)


def hint_again_after(waited: timedelta) -> timedelta:
    """How old the last hint about a run must be before the next one, when the run has been due for `waited`."""
    return min(max(waited / 2, SHORTEST), LONGEST)
