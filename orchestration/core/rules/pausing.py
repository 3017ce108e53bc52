"""Pausing and resuming flow runs, and the effect of a pause on the tasks of the flow."""

from __future__ import annotations

from orchestration.core.decide import ANYWHERE, TO_RUNNING, Facts, Transition
from orchestration.core.runs import with_policy
from orchestration.core.states import ANY, TERMINAL, State, StateType, failed
from orchestration.core.verdicts import ACCEPT, Abort, Amend, Reject, Verdict
from orionflow.contract.states import NOT_READY


class PauseRunningFlowRuns:
    """Only a running flow run can be paused, and it passes pauses that it has been through. Only a run of a deployment
    that is not nested in another run can be suspended."""

    number = 19
    leaving = ANYWHERE
    entering = frozenset({StateType.PAUSED})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        run, details = transition.run, transition.proposed.details
        if transition.initial is None:
            return Abort("a run without a state cannot be paused")
        if transition.initial.type is not StateType.RUNNING:
            return Reject(f"only a running flow run can be paused; this one is {transition.initial.name}")
        if details.pause_key is not None and details.pause_key in run.policy.pause_keys:
            return Reject("this pause has already fired")
        if details.pause_reschedule and run.parent_task_run_id is not None:
            return Abort("a nested flow run cannot be suspended; suspend its parent")
        if details.pause_reschedule and run.deployment_id is None:
            return Abort("a run without a deployment cannot be suspended, because nothing would start it again")
        return _paused(transition)


def _paused(transition: Transition) -> Verdict:
    keys = transition.run.policy.pause_keys
    key = transition.proposed.details.pause_key or _unused_key(keys)
    run = with_policy(transition.run, pause_keys=keys | {key})
    return Amend(f"pause {key} fires", state=transition.proposed.with_details(pause_key=key), run=run)


def _unused_key(keys: frozenset[str]) -> str:
    number = len(keys) + 1
    while f"pause-{number}" in keys:
        number += 1
    return f"pause-{number}"


class ResumePausedFlowRuns:
    """A paused run can be resumed, scheduled to resume, cancelled or ended. If its deadline has passed, it fails,
    whatever is proposed. A resumed run continues the same attempt."""

    number = 20
    leaving: frozenset[StateType | None] = frozenset({StateType.PAUSED})
    entering = ANY

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        assert transition.initial is not None
        target, details = transition.proposed.type, transition.initial.details
        if target not in {StateType.RUNNING, StateType.SCHEDULED, StateType.CANCELLING} | TERMINAL:
            return Reject(f"a paused run cannot become {target} before it is resumed; force the state if it must")
        if details.pause_reschedule and transition.run.deployment_id is None:
            return Reject("a suspended run cannot be resumed without its deployment")
        if details.pause_timeout is not None and details.pause_timeout < facts.now:
            message = f"The flow was {transition.initial.name.lower()} and never resumed."
            return Reject("the deadline of the pause has passed", state=failed(message))
        if target is StateType.SCHEDULED and transition.run.policy.retry_type == "in_process":
            # Its process ended when it was suspended, and agents skip runs that are retried in their process.
            run = with_policy(transition.run, retry_type="reschedule")
            return Amend("an agent starts it again", run=run)
        return ACCEPT


class StartTasksOfRunningFlowsOnly:
    """A task starts only while its flow run is running. While the flow run is paused, the task is NotReady. If the flow
    run has ended or is being cancelled, the task stops."""

    number = 3
    leaving = ANYWHERE
    entering = TO_RUNNING

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        parent = facts.parent_flow_run()
        if parent is None:
            return ACCEPT if transition.run.flow_run_id is None else Abort("its flow run does not exist any more")
        if parent.state is None:
            return Abort("its flow run has not started")
        if parent.state.type is StateType.RUNNING:
            return ACCEPT
        if parent.state.type is StateType.PAUSED:
            return Reject("its flow run is paused", state=_held(parent.state))
        return Abort(f"its flow run is {parent.state.name}, so its tasks do not start")


def _held(pause: State) -> State:
    held = State(type=StateType.PAUSED, name=NOT_READY, message="The flow is paused; this task has not started.")
    return held.with_details(pause_timeout=pause.details.pause_timeout, pause_reschedule=pause.details.pause_reschedule)
