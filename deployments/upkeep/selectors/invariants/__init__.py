"""The invariants of stored rows, which hold at every moment, each as one query.

A statement sees one snapshot, so a live database can be checked without locks. The rows that a query returns violate
the invariant.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from deployments.upkeep.selectors.invariants.attempts import ATTEMPTS
from deployments.upkeep.selectors.invariants.folded import folded_histories
from deployments.upkeep.selectors.invariants.histories import HISTORIES, illegal_successions
from deployments.upkeep.selectors.invariants.laws import Violation, broken
from deployments.upkeep.selectors.invariants.limits import LIMITS
from deployments.upkeep.selectors.invariants.problems import PROBLEMS
from deployments.upkeep.selectors.invariants.roll_ups import wrong_roll_ups
from deployments.upkeep.selectors.invariants.times import TIMES, crashes_over_their_budget, pauses_past_their_deadline

__all__ = ["Violation", "violations"]


def violations(now: datetime) -> Iterator[Violation]:
    """Yield every violation, invariant by invariant. Only a small part is in memory at a time."""
    for law in (*HISTORIES, *ATTEMPTS, *LIMITS, *TIMES, *PROBLEMS):
        yield from broken(law, now)
    yield from illegal_successions()
    yield from folded_histories()
    yield from crashes_over_their_budget()
    yield from pauses_past_their_deadline(now)
    yield from wrong_roll_ups()
