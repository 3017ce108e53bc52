"""Cancelling: a run that is being cancelled can only become cancelled; one without a process is cancelled at once."""

from __future__ import annotations

from orchestration.core.decide import Facts, Transition
from orchestration.core.runs import Run
from orchestration.core.states import ANY, State, StateType, cancelled
from orchestration.core.verdicts import ACCEPT, Reject, Verdict


class FinishCancelling:
    """A run that is being cancelled can only become cancelled. A cancelled run stays cancelled unless it is forced."""

    number = 16
    leaving: frozenset[StateType | None] = frozenset({StateType.CANCELLING, StateType.CANCELLED})
    entering = ANY - {StateType.CANCELLED}

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        if transition.initial_type is StateType.CANCELLING:
            return Reject("this run is being cancelled and can only become cancelled")
        return Reject("this run is cancelled; force the state to take it up again")


class CancelAtOnceWithoutInfrastructure:
    """A run without a process (scheduled, suspended, or pending with nothing that executes it) is cancelled at once
    when cancelling is proposed, also if the state is forced."""

    number = 17
    leaving: frozenset[StateType | None] = frozenset({StateType.SCHEDULED, StateType.PENDING, StateType.PAUSED})
    entering = frozenset({StateType.CANCELLING})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        initial = transition.initial
        assert initial is not None
        match initial.type:
            case StateType.PAUSED:
                idle = initial.details.pause_reschedule
            case StateType.PENDING:
                idle = _has_no_process(transition.run)
            case _:
                idle = _waits_for_a_process(transition.run, initial)
        if not idle:
            return ACCEPT
        reason = "nothing of this run is executing, so it is cancelled at once"
        return Reject(reason, state=cancelled(transition.proposed.message or reason.capitalize() + "."))


def _has_no_process(run: Run) -> bool:
    """Whether no process would ever report its end: no agent holds it, and neither agent nor program has a process.

    A process that is about to start it is refused RUNNING.
    """
    return not run.leased and not run.is_in_a_program and run.infrastructure_pid is None


def _waits_for_a_process(run: Run, initial: State) -> bool:
    if run.leased:
        return False
    # Agents execute runs under a lease: without one, the process that is named belongs to an earlier attempt.
    return run.epoch > 0 or run.infrastructure_pid is None or initial.name == "Resuming"
