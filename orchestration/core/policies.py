"""Which rules judge which transition, and in what order: the first that refuses settles it."""

from __future__ import annotations

from typing import Protocol

from orchestration.core.decide import Rule
from orchestration.core.rules.caching import CacheFacts, RememberResultsByCacheKey, ReuseCachedResults
from orchestration.core.rules.cancelling import CancelAtOnceWithoutInfrastructure, FinishCancelling
from orchestration.core.rules.concurrency import LimitFacts, TakeConcurrencySlots
from orchestration.core.rules.crashing import HandOverLostWaits, HandOverUnheardRuns, RetryCrashedRuns
from orchestration.core.rules.duplicates import ClaimRunsOnce, RefuseRepeatedTransitions
from orchestration.core.rules.overlap import OverlapFacts, ResolveOverlaps
from orchestration.core.rules.pausing import PauseRunningFlowRuns, ResumePausedFlowRuns, StartTasksOfRunningFlowsOnly
from orchestration.core.rules.queueing import QueueFacts, TakeQueueSlots
from orchestration.core.rules.retries import NameRepeatedTries, RememberFlowAttempt, RetryFailedFlows, RetryFailedTasks
from orchestration.core.rules.terminal import (
    KeepFinishedFlowRuns,
    KeepFinishedTaskRuns,
    MarkLostResults,
    MarkOnlyScheduledRunsLate,
    RunAgainFromTasks,
)
from orchestration.core.rules.timing import CarryScheduledTime, WaitForScheduledTime
from orchestration.core.runs import Run


class AllFacts(CacheFacts, LimitFacts, OverlapFacts, QueueFacts, Protocol):
    """All that rules may ask for; `orchestration.facts` answers from the database."""


Policy = tuple[Rule[AllFacts], ...]

CORE_FLOW: Policy = (
    RefuseRepeatedTransitions(),
    KeepFinishedFlowRuns(),
    FinishCancelling(),
    CancelAtOnceWithoutInfrastructure(),
    ClaimRunsOnce(),
    MarkOnlyScheduledRunsLate(),
    PauseRunningFlowRuns(),
    ResumePausedFlowRuns(),
    CarryScheduledTime(),
    WaitForScheduledTime(),
    TakeQueueSlots(),
    ResolveOverlaps(),
    RetryFailedFlows(),
    HandOverLostWaits(),
    RetryCrashedRuns(),
)

# A finished run of which some tasks are to run again: the rules of any new start, and another one for its first step.
AGAIN_FLOW: Policy = tuple(
    RunAgainFromTasks() if isinstance(rule, KeepFinishedFlowRuns) else rule for rule in CORE_FLOW
)

# An attempt that its agent ended for want of an answer from the API: asked instead of counting a crash.
UNHEARD_FLOW: Policy = (HandOverUnheardRuns(), HandOverLostWaits())

CORE_TASK: Policy = (
    ReuseCachedResults(),
    KeepFinishedTaskRuns(),
    StartTasksOfRunningFlowsOnly(),
    TakeConcurrencySlots(),
    CarryScheduledTime(),
    WaitForScheduledTime(),
    RetryFailedTasks(),
    RetryCrashedRuns(),
    NameRepeatedTries(),
    RememberFlowAttempt(),
    RememberResultsByCacheKey(),
)

# Nobody's flow run keeps two processes from running the same one of these.
BACKGROUND_TASK: Policy = (ClaimRunsOnce(), *CORE_TASK)

# A forced state passes all rules but those without which the record would be false.
MINIMAL_FLOW: Policy = (MarkLostResults(), CancelAtOnceWithoutInfrastructure())
MINIMAL_TASK: Policy = (MarkLostResults(),)

# Nobody asks for a run to be late; it is only said of one that waits.
LATE_FLOW: Policy = (MarkOnlyScheduledRunsLate(),)


def usual_policy(run: Run) -> Policy:
    """Return the policy for proposals that are not forced."""
    if run.kind == "flow-run":
        return CORE_FLOW
    return BACKGROUND_TASK if run.flow_run_id is None else CORE_TASK
