"""Linear scheduling: what happens when a run is about to start while another run of the same flow is still running."""

from __future__ import annotations

from orchestration.core.decide import Facts, Transition
from orchestration.core.effects import CancelRuns
from orchestration.core.rules.sets import ANYWHERE, TO_RUNNING
from orchestration.core.runs import Overlap
from orchestration.core.states import cancelled, cancelling, skipped
from orchestration.core.verdicts import ACCEPT, Accept, Reject, Verdict, Wait

# Short enough that a queue moves on soon after its head ends; the answer costs one indexed query.
QUEUE_WAIT_SECONDS = 5


class ResolveOverlaps:
    """When another run of the same flow is running, the overlap policy of the flow decides: `allow` lets both run,
    `queue` waits for the other, `skip` completes the new run under the name Skipped, `cancel_new` cancels the new run,
    and `cancel_old` cancels the other one. A run that was running before (paused, retried) keeps its place."""

    leaving = ANYWHERE
    entering = TO_RUNNING

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        overlap = transition.run.policy.overlap
        if overlap is Overlap.ALLOW or transition.run.run_count > 0:
            return ACCEPT
        others = facts.active_runs_of_same_flow()
        if not others:
            return ACCEPT
        reason = f"run {others[0]} of the same flow is running"
        match overlap:
            case Overlap.QUEUE:
                return Wait(f"{reason}; this one is queued behind it", QUEUE_WAIT_SECONDS)
            case Overlap.SKIP:
                return Reject(f"{reason}; this one is skipped", state=skipped(f"Skipped: {reason}."))
            case Overlap.CANCEL_NEW:
                return Reject(f"{reason}; this one is cancelled", state=cancelled(f"Cancelled: {reason}."))
            case _:
                message = f"Cancelled by run {transition.run.id} of the same flow, which took its place."
                effect = CancelRuns(tuple(others), cancelling(message))
                return Accept(f"{reason}; it is cancelled for this one", effects=(effect,))
