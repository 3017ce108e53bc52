"""The laws that stored rows obey at every moment, each as one query.

One statement sees one moment, so a live database can be asked without locking it. An answer that is not empty names
rows that break the law.
"""

from __future__ import annotations

from datetime import datetime

from deployments.upkeep.selectors.invariants.attempts import ATTEMPTS
from deployments.upkeep.selectors.invariants.histories import HISTORIES, illegal_successions
from deployments.upkeep.selectors.invariants.laws import Violation, broken
from deployments.upkeep.selectors.invariants.limits import LIMITS
from deployments.upkeep.selectors.invariants.roll_ups import wrong_roll_ups
from deployments.upkeep.selectors.invariants.times import TIMES, crashes_over_their_budget, pauses_past_their_deadline

__all__ = ["Violation", "violations"]


def violations(now: datetime) -> list[Violation]:
    """Everything that is found, law by law; an empty list is what one hopes for."""
    found = [violation for law in (*HISTORIES, *ATTEMPTS, *LIMITS, *TIMES) for violation in broken(law, now)]
    found += [*illegal_successions(), *crashes_over_their_budget(), *pauses_past_their_deadline(now)]
    return sorted([*found, *wrong_roll_ups()])
