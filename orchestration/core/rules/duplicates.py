"""Duplicates: a repeated proposal is recognised, and a run is claimed only once."""

from __future__ import annotations

from typing import Protocol

from orchestration.core.decide import ANYWHERE, TO_RUNNING, Facts, Transition
from orchestration.core.states import ANY, TERMINAL, StateType
from orchestration.core.verdicts import ACCEPT, Abort, Reject, Verdict


class RefuseRepeatedTransitions:
    """A proposal with the transition id of the current state was made before, and is not applied again."""

    number = 14
    leaving = ANYWHERE
    entering = ANY

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        proposed = transition.proposed.details.transition_id
        if proposed is None or transition.initial is None or transition.initial.details.transition_id != proposed:
            return ACCEPT
        return Reject("this run has already made this state transition")


class ClaimRunsOnce:
    """Only one worker can claim a run: one that is pending, running, cancelling or cancelled cannot become pending."""

    number = 12
    leaving: frozenset[StateType | None] = frozenset(
        {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING, StateType.CANCELLED}
    )
    entering = frozenset({StateType.PENDING})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        return Abort(f"this run is already {transition.initial_type} and cannot be claimed again")


class ClaimFacts(Facts, Protocol):
    def number_of_claims(self) -> int:
        """Return how often a worker has claimed the run."""


class StartOnceOfAllClaims:
    """A call that several workers claimed, because the first one was lost, is started by one of them: once it has
    started or ended, it does not start again without another claim."""

    number = 27
    leaving: frozenset[StateType | None] = frozenset({StateType.RUNNING, *TERMINAL})
    entering = TO_RUNNING

    def judge(self, transition: Transition, facts: ClaimFacts) -> Verdict:
        # With one claim it is the same worker, which did not receive the answer: it must not be stopped.
        if facts.number_of_claims() < 2:
            return ACCEPT
        return Abort(f"this run was claimed by another worker as well, and is already {transition.initial_type}")
