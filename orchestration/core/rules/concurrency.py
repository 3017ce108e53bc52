"""Concurrency limits: a slot is taken on the way into RUNNING and released on the way out, however the run leaves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestration.core.decide import ANYWHERE, TO_RUNNING, Facts, Transition
from orchestration.core.effects import TakeSlots
from orchestration.core.verdicts import ACCEPT, Abort, Accept, Verdict, Wait

# Stored with the run that waits, where `wait_for` finds it. Rows have this wording: find it even if you change it.
_WAIT = "{taken} of {limit} slots of tag '{tag}' are taken"


@dataclass(frozen=True, slots=True)
class LimitUse:
    """A concurrency limit, and the number of other runs that hold a slot of it."""

    tag: str
    limit: int
    taken: int


class LimitFacts(Facts, Protocol):
    def limits_on(self, tags: Sequence[str]) -> Sequence[LimitUse]:
        """Return the concurrency limits on these tags; tags without a limit are left out."""


class TakeConcurrencySlots:
    """A task run starts only if each of its tags with a limit has a free slot. It takes all slots or none, so a run
    that waits for one tag does not block another. A limit of 0 stops the task."""

    number = 4
    leaving = ANYWHERE
    entering = TO_RUNNING

    def judge(self, transition: Transition, facts: LimitFacts) -> Verdict:
        if not transition.run.tags:
            return ACCEPT
        limits = facts.limits_on(transition.run.tags)
        for use in limits:
            if use.limit == 0:
                return Abort(f"the concurrency limit of tag '{use.tag}' is 0, so nothing with this tag may run")
        for use in limits:
            if use.taken >= use.limit:
                reason = _WAIT.format(taken=use.taken, limit=use.limit, tag=use.tag)
                return Wait(reason, facts.slot_wait_seconds)
        if not limits:
            return ACCEPT
        # Sort before locking: two runs with tags (a, b) and (b, a) would otherwise wait for each other.
        tags = tuple(sorted(use.tag for use in limits))
        return Accept(f"takes a slot of {', '.join(tags)}", effects=(TakeSlots(tags),))


def wait_for(tag: str) -> str:
    """Return a regular expression, for Python and PostgreSQL, of the reason why a run waits for a slot of the tag."""
    # Compare the whole reason: the end of a longer tag may read like this one.
    return f"^{_WAIT.format(taken='[0-9]+', limit='[0-9]+', tag=re.escape(tag))}$"
