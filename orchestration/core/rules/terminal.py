"""Final states: what may move a finished run out of its final state, and what is reset then."""

from __future__ import annotations

from dataclasses import replace

from orchestration.core.decide import ANYWHERE, Facts, Transition
from orchestration.core.runs import Run, revised, with_policy
from orchestration.core.states import ANY, TERMINAL, StateType
from orchestration.core.verdicts import ACCEPT, Abort, Amend, Reject, Verdict
from orionflow.contract.states import LATE

FROM_TERMINAL: frozenset[StateType | None] = frozenset(TERMINAL)
# A finished run has nothing left to stop, to pause or to lose.
NOT_AFTER_THE_END = frozenset({StateType.CANCELLING, StateType.PAUSED, StateType.CRASHED})


class KeepFinishedFlowRuns:
    """A finished flow run cannot be cancelled, paused or crashed. It can start again, unless it completed and its
    result is stored. Scheduling it again needs a deployment. A new start resets its pauses, but not its retries."""

    number = 15
    leaving = FROM_TERMINAL
    entering = ANY

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        assert transition.initial is not None
        target = transition.proposed.type
        if target in NOT_AFTER_THE_END:
            return Abort(f"this run is already in the terminal state {transition.initial.name}")
        if target in TERMINAL:
            return ACCEPT
        if transition.initial.type is StateType.COMPLETED and transition.initial.has_stored_data:
            return Reject("this run completed and its result is stored, so it does not run again")
        if target is StateType.SCHEDULED and transition.run.deployment_id is None:
            return Abort("this run has no deployment, so nothing could start it again at a scheduled time")
        return Amend("a finished run starts again", run=_reopened(transition.run, target))


def _reopened(run: Run, target: StateType) -> Run:
    # Used retries stay used, those of failures and those of crashes: `run_count` is not reset either.
    retry_type = "reschedule" if target is StateType.SCHEDULED else None
    return with_policy(run, resuming=False, pause_keys=frozenset(), retry_type=retry_type)


class RunAgainFromTasks:
    """A finished flow run that is retried from a task starts again, even if it completed and its result is stored. It
    reuses only results that were not set aside. Scheduling it needs a deployment."""

    number = 26
    leaving = FROM_TERMINAL
    entering = frozenset({StateType.SCHEDULED, StateType.PENDING})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        target = transition.proposed.type
        if target is StateType.SCHEDULED and transition.run.deployment_id is None:
            return Abort("this run has no deployment, so nothing could start it again at a scheduled time")
        run = with_policy(_reopened(transition.run, target), retried_from_task=True)
        return Amend("some of its tasks are to run again", run=run)


class KeepFinishedTaskRuns:
    """A finished task run cannot be cancelled, paused or crashed. One that completed with a stored result keeps it,
    unless it runs with `refresh_cache`. Otherwise it may run again with all its retries; in a later attempt of its flow
    run, the new state is named Retrying."""

    number = 2
    leaving = FROM_TERMINAL
    entering = ANY

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        assert transition.initial is not None
        target = transition.proposed.type
        if target in NOT_AFTER_THE_END:
            return Abort(f"this run is already in the terminal state {transition.initial.name}")
        is_kept = transition.initial.type is StateType.COMPLETED and transition.initial.has_stored_data
        if is_kept and not (target is StateType.RUNNING and transition.proposed.details.refresh_cache):
            return Reject("this run completed and its result is stored, so it does not run again")
        if target in TERMINAL:
            return ACCEPT
        run = _with_all_retries(transition.run)
        parent = facts.parent_flow_run() if target is StateType.RUNNING else None
        if parent is not None and run.flow_run_run_count < parent.run_count:
            return Amend(
                f"its flow run is at attempt {parent.run_count}",
                state=replace(transition.proposed, name="Retrying"),
                run=run,
            )
        return Amend("a finished task run starts again with all its retries", run=run)


def _with_all_retries(run: Run) -> Run:
    policy = replace(run.policy, crash_count=0, unstarted=0) if run.policy.crash_count else run.policy
    return revised(run, run_count=0, policy=policy)


class MarkLostResults:
    """A failed or crashed run that is set to Completed by hand has no value: the reference to the result of the failure
    becomes an unknown result."""

    number = 13
    leaving: frozenset[StateType | None] = frozenset({StateType.FAILED, StateType.CRASHED})
    entering = frozenset({StateType.COMPLETED})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        data = transition.initial.data if transition.initial else None
        if not isinstance(data, dict) or data.get("type") != "reference":
            return ACCEPT
        marked = replace(transition.proposed, data={"type": "unknown"})
        return Amend("the stored result belongs to a failure", state=marked)


class MarkOnlyScheduledRunsLate:
    """Only a scheduled run can become Late."""

    number = 18
    leaving = ANYWHERE
    entering = frozenset({StateType.SCHEDULED})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        if transition.proposed.name != LATE or transition.initial_type is StateType.SCHEDULED:
            return ACCEPT
        return Reject("only a scheduled run can be late")
