"""Slots of a queue, its pool and its deployment: a run holds one of each from its claim until its attempt is over."""

from __future__ import annotations

from orchestration.core.decide import Facts, SlotUse, Transition
from orchestration.core.states import ANY, HOLDING, StateType
from orchestration.core.verdicts import ACCEPT, Reject, Verdict, Wait


class TakeQueueSlots:
    """A run is claimed only while its work queue, the pool of that and its deployment are not paused or full: each
    counts its runs that are pending, running or being cancelled. One that is refused stays scheduled; a process that
    would start a run (again) without claiming it is told to wait for a slot. Lowering a limit stops nobody."""

    leaving: frozenset[StateType | None] = frozenset({*(ANY - HOLDING), None})
    entering = frozenset({StateType.PENDING, StateType.RUNNING})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        uses = facts.run_slots()
        if not uses:
            return ACCEPT
        claimed = transition.proposed.type is StateType.PENDING
        # Who paused a queue meant work that has not begun.
        paused = next((use for use in uses if use.paused), None) if claimed else None
        if paused is not None:
            return Reject(f"{paused.what} is paused; resume it to start its runs")
        full = next((use for use in uses if use.is_full), None)
        if full is None:
            return ACCEPT
        return Reject(_fullness(full)) if claimed else Wait(_fullness(full), facts.slot_wait_seconds)


def _fullness(use: SlotUse) -> str:
    taken = f"{use.what} is full: {use.taken} of {use.limit} slots are taken"
    return f"{taken}, one of them by run {use.holder}" if use.holder else taken
