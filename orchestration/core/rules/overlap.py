"""Linear scheduling: what happens when a run is about to start while another run of the same flow is still running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from orchestration.core.decide import ANYWHERE, TO_RUNNING, Facts, Transition
from orchestration.core.effects import CancelRuns
from orchestration.core.runs import Overlap
from orchestration.core.states import StateType, cancelled, cancelling, skipped
from orchestration.core.verdicts import ACCEPT, Accept, Reject, Verdict, Wait

# Seconds. Short, so that a queued run starts soon after the one before it ends; each check costs one indexed query.
QUEUE_WAIT_SECONDS = 5


class OverlapFacts(Facts, Protocol):
    def active_runs_of_same_flow(self) -> Sequence[UUID]:
        """Return the runs of the same flow (or deployment: `policy.overlap_scope`) that are RUNNING or CANCELLING,
        oldest first.

        Excludes this run and the runs in which it is nested, because they would wait for each other forever.
        """


class ResolveOverlaps:
    """If another run of the same flow (or deployment, if that is the scope of the policy) is running, the overlap
    policy decides: `allow` runs both, `queue` waits, `skip` completes the new run as Skipped, `cancel_new` cancels the
    new run, `cancel_old` cancels the other one. A run that has run before (paused, retried or rerun) waits in any
    case."""

    number = 22
    leaving = ANYWHERE
    entering = TO_RUNNING

    def judge(self, transition: Transition, facts: OverlapFacts) -> Verdict:
        policy = transition.run.policy
        if policy.overlap is Overlap.ALLOW or transition.initial_type is StateType.RUNNING:
            return ACCEPT
        others = facts.active_runs_of_same_flow()
        if not others:
            return ACCEPT
        reason = f"run {others[0]} of the same {policy.overlap_scope} is running"
        # Skipping a retry would lose the work of the earlier attempts.
        match policy.overlap if transition.run.run_count == 0 else Overlap.QUEUE:
            case Overlap.QUEUE:
                return Wait(f"{reason}; this one is queued behind it", QUEUE_WAIT_SECONDS)
            case Overlap.SKIP:
                return Reject(f"{reason}; this one is skipped", state=skipped(f"Skipped: {reason}."))
            case Overlap.CANCEL_NEW:
                return Reject(f"{reason}; this one is cancelled", state=cancelled(f"Cancelled: {reason}."))
            case _:
                message = (
                    f"Cancelled by run {transition.run.id} of the same {policy.overlap_scope}, which took its place."
                )
                effect = CancelRuns(tuple(others), cancelling(message))
                return Accept(f"{reason}; it is cancelled for this one", effects=(effect,))
