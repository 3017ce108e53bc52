"""Policies: which rules judge a transition, and in what order. The first rule that refuses decides."""

from __future__ import annotations

from typing import Protocol

from orchestration.core.decide import Rule
from orchestration.core.rules.caching import CacheFacts, RememberResultsByCacheKey, ReuseCachedResults
from orchestration.core.rules.cancelling import CancelAtOnceWithoutInfrastructure, FinishCancelling
from orchestration.core.rules.concurrency import LimitFacts, TakeConcurrencySlots
from orchestration.core.rules.crashing import HandOverLostWaits, HandOverUnheardRuns, RetryCrashedRuns
from orchestration.core.rules.duplicates import (
    ClaimFacts,
    ClaimRunsOnce,
    RefuseRepeatedTransitions,
    StartOnceOfAllClaims,
)
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


class AllFacts(CacheFacts, ClaimFacts, LimitFacts, OverlapFacts, QueueFacts, Protocol):
    """All facts that rules may ask for; `orchestration.facts` reads them from the database."""


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

# For a finished run some of whose tasks are to run again: the rules of any start, except the one about finished runs.
AGAIN_FLOW: Policy = tuple(
    RunAgainFromTasks() if isinstance(rule, KeepFinishedFlowRuns) else rule for rule in CORE_FLOW
)

# Replaces CORE_FLOW for an attempt that its agent ended because the API did not answer, so that no crash is counted.
OUT_OF_TOUCH_FLOW: Policy = (HandOverUnheardRuns(), HandOverLostWaits())

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

# Without a flow run around it, nothing else prevents two processes from running the same task run.
BACKGROUND_TASK: Policy = (ClaimRunsOnce(), StartOnceOfAllClaims(), *CORE_TASK)

# A forced state skips all rules except these, without which the record would be wrong.
MINIMAL_FLOW: Policy = (MarkLostResults(), CancelAtOnceWithoutInfrastructure())
MINIMAL_TASK: Policy = (MarkLostResults(),)

# Late is set only by the server, so the one rule that is needed is that the run still waits.
LATE_FLOW: Policy = (MarkOnlyScheduledRunsLate(),)

# Every rule is in at least one of them.
POLICIES = (CORE_FLOW, AGAIN_FLOW, OUT_OF_TOUCH_FLOW, BACKGROUND_TASK, MINIMAL_FLOW, LATE_FLOW)


def usual_policy(run: Run) -> Policy:
    """Return the policy for proposals that are not forced."""
    if run.kind == "flow-run":
        return CORE_FLOW
    return BACKGROUND_TASK if run.flow_run_id is None else CORE_TASK
