"""Places in a queue, its pool and its deployment: a run holds one in each from its claim until its attempt is over."""

from __future__ import annotations

from orchestration.core.decide import Facts, PlaceUse, Transition
from orchestration.core.states import ANY, HOLDING, StateType
from orchestration.core.verdicts import ACCEPT, Reject, Verdict, Wait


class TakeQueueSlots:
    """A run is claimed only while its work queue, the pool of that and its deployment are not paused or full: each
    counts its runs that are pending, running or being cancelled. One that is refused stays scheduled; a process that
    would start a run (again) without claiming it is told to wait for a place. Lowering a limit stops nobody."""

    leaving: frozenset[StateType | None] = frozenset({*(ANY - HOLDING), None})
    entering = frozenset({StateType.PENDING, StateType.RUNNING})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        places = facts.places()
        if not places:
            return ACCEPT
        claimed = transition.proposed.type is StateType.PENDING
        # Who paused a queue meant work that has not begun.
        paused = next((place for place in places if place.paused), None) if claimed else None
        if paused is not None:
            return Reject(f"{paused.what} is paused; resume it to start its runs")
        full = next((place for place in places if place.is_full), None)
        if full is None:
            return ACCEPT
        return Reject(_told(full)) if claimed else Wait(_told(full), facts.slot_wait_seconds)


def _told(place: PlaceUse) -> str:
    taken = f"{place.what} is full: {place.taken} of {place.limit} places are taken"
    return f"{taken}, one of them by run {place.holder}" if place.holder else taken
