"""Timing: a scheduled run does not start early, and keeps the time for which it was scheduled."""

from __future__ import annotations

from orchestration.core.decide import TO_RUNNING, WAITING, Facts, Transition
from orchestration.core.states import StateType
from orchestration.core.verdicts import ACCEPT, Amend, Verdict, Wait


class CarryScheduledTime:
    """A run that is claimed before its scheduled time keeps that time, and waits for it."""

    number = 5
    leaving: frozenset[StateType | None] = frozenset({StateType.SCHEDULED})
    entering = frozenset({StateType.PENDING})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        assert transition.initial is not None
        at = transition.initial.details.scheduled_time
        if at is None or transition.proposed.details.scheduled_time is not None:
            return ACCEPT
        return Amend(f"scheduled for {at.isoformat()}", state=transition.proposed.with_details(scheduled_time=at))


class WaitForScheduledTime:
    """A run does not start before its scheduled time. The answer says how many seconds to wait, rounded."""

    number = 6
    leaving = WAITING
    entering = TO_RUNNING

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        assert transition.initial is not None
        at = transition.initial.details.scheduled_time
        if at is None:
            return ACCEPT
        seconds = round((at - facts.now).total_seconds())
        if seconds <= 0:
            return ACCEPT
        return Wait(f"scheduled for {at.isoformat()}, {seconds} s from now", seconds)
