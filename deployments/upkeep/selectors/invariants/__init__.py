"""The laws that stored rows obey at every moment, each as one query.

One statement sees one moment, so a live database can be asked without locking it. An answer that is not empty names
rows that break the law.
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
    """Everything that is found, law by law; nothing is what one hopes for. Little of it is in memory at a time."""
    for law in (*HISTORIES, *ATTEMPTS, *LIMITS, *TIMES, *PROBLEMS):
        yield from broken(law, now)
    yield from illegal_successions()
    yield from folded_histories()
    yield from crashes_over_their_budget()
    yield from pauses_past_their_deadline(now)
    yield from wrong_roll_ups()
