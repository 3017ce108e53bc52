"""Slots of a queue, its pool and its deployment. A run holds one of each from its claim until its attempt is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from orchestration.core.decide import Facts, Transition
from orchestration.core.states import ANY, HOLDING, StateType
from orchestration.core.verdicts import ACCEPT, Reject, Verdict, Wait


@dataclass(frozen=True, slots=True)
class SlotUse:
    """A work queue, a pool or a deployment: how many other runs hold its slots, and the oldest holder if it is full."""

    what: str
    paused: bool
    limit: int | None = None
    taken: int = 0
    holder: UUID | None = None
    # Why the author of a deployment has no right to start its planned runs; empty if the author has.
    refused: str = ""

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.taken >= self.limit


class QueueFacts(Facts, Protocol):
    def run_slots(self) -> Sequence[SlotUse]:
        """Return the work queue, the pool and the deployment of this run, as far as they exist and are limited or
        paused.

        Limited ones are locked, so that the answer stays true until the state is written.
        """


class TakeQueueSlots:
    """A run is claimed only if its work queue, pool and deployment are neither paused nor full; each counts its runs
    that are pending, running or cancelling. A refused run stays scheduled. A process that starts a run without a claim
    waits for a slot. Lowering a limit stops nothing. A run planned by a schedule starts only if the author of its
    deployment may run it."""

    number = 21
    leaving: frozenset[StateType | None] = frozenset({*(ANY - HOLDING), None})
    entering = frozenset({StateType.PENDING, StateType.RUNNING})

    def judge(self, transition: Transition, facts: QueueFacts) -> Verdict:
        uses = facts.run_slots()
        if not uses:
            return ACCEPT
        claimed = transition.proposed.type is StateType.PENDING
        refused = next((use for use in uses if use.refused), None) if claimed or not transition.run.run_count else None
        if refused is not None:
            return Reject(f"the author of {refused.what} may not run it: {refused.refused}")
        # Pausing a queue is meant for runs that have not started yet.
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
