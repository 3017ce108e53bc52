"""Which rules judge which transition, and in what order: the first that refuses settles it."""

from __future__ import annotations

from orchestration.core.decide import Policy
from orchestration.core.rules.caching import RememberResultsByCacheKey, ReuseCachedResults
from orchestration.core.rules.cancelling import CancelAtOnceWithoutInfrastructure, FinishCancelling
from orchestration.core.rules.concurrency import TakeConcurrencySlots
from orchestration.core.rules.crashing import HandOverLostWaits, RetryCrashedRuns
from orchestration.core.rules.duplicates import ClaimRunsOnce, RefuseRepeatedTransitions
from orchestration.core.rules.overlap import ResolveOverlaps
from orchestration.core.rules.pausing import PauseRunningFlowRuns, ResumePausedFlowRuns, StartTasksOfRunningFlowsOnly
from orchestration.core.rules.queueing import TakeQueueSlots
from orchestration.core.rules.retries import NameRepeatedTries, RememberFlowAttempt, RetryFailedFlows, RetryFailedTasks
from orchestration.core.rules.terminal import (
    KeepFinishedFlowRuns,
    KeepFinishedTaskRuns,
    MarkLostResults,
    MarkOnlyScheduledRunsLate,
)
from orchestration.core.rules.timing import CarryScheduledTime, WaitForScheduledTime

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

# A forced state passes all rules but those without which the record would be false.
MINIMAL_FLOW: Policy = (MarkLostResults(), CancelAtOnceWithoutInfrastructure())
MINIMAL_TASK: Policy = (MarkLostResults(),)

# Nobody asks for a run to be late; it is only said of one that waits.
LATE_FLOW: Policy = (MarkOnlyScheduledRunsLate(),)
