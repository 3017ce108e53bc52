"""Duplicates: a repeated proposal is recognised, and a run is claimed only once."""

from __future__ import annotations

from orchestration.core.decide import ANYWHERE, Facts, Transition
from orchestration.core.states import ANY, StateType
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
