"""Crashes are failures of the infrastructure and not of the code, so they have their own retries; none by default."""

from __future__ import annotations

from typing import Literal

from orchestration.core.decide import Facts, Transition
from orchestration.core.rules.retries import retry_delay
from orchestration.core.runs import Run, with_policy
from orchestration.core.states import State, StateType, awaiting_retry
from orchestration.core.verdicts import ACCEPT, Amend, Reject, Verdict


class RetryCrashedRuns:
    """A run whose infrastructure crashed runs again up to `crash_retries` times, counted separately from retries of
    failures. The default is 0, because the work may be half done."""

    number = 8
    leaving: frozenset[StateType | None] = frozenset({StateType.PENDING, StateType.RUNNING, StateType.PAUSED})
    entering = frozenset({StateType.CRASHED})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        policy, proposed = transition.run.policy, transition.proposed
        if policy.crash_retries == 0 or (transition.initial and transition.initial.details.pause_reschedule):
            return ACCEPT
        attempt = policy.crash_count + 1
        if attempt > policy.crash_retries:
            return Amend(f"all {policy.crash_retries} crash retries are used")
        delay = retry_delay(policy, attempt, facts)
        again = awaiting_retry(facts.now + delay, message=proposed.message, data=proposed.data)
        reason = f"crash retry {attempt} of {policy.crash_retries} in {delay.total_seconds():g} s"
        return Reject(reason, state=again, run=_crashed_once_more(transition.run, transition.initial))


class HandOverUnheardRuns:
    """If the agent ended the process because it could not reach the API for the time of a lease, the run did not crash.
    A run with crash retries starts again at once, without using one up."""

    number = 25
    leaving = RetryCrashedRuns.leaving
    entering = RetryCrashedRuns.entering

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        run, initial = transition.run, transition.initial
        if run.policy.crash_retries == 0 or (initial and initial.details.pause_reschedule):
            return ACCEPT
        again = awaiting_retry(facts.now, message=transition.proposed.message)
        counts = {"handovers": run.policy.handovers + 1, "unstarted": _unstarted(run, initial)}
        run = with_policy(_left_to_agents(run), **counts)
        return Reject("its agent ended it for want of an answer, so it counts as no crash", again, run)


class HandOverLostWaits:
    """If the process of a deployed run dies while the run waits for its next retry, an agent starts it again at the
    time of that retry. This does not count as a crash."""

    number = 24
    leaving: frozenset[StateType | None] = frozenset({StateType.SCHEDULED})
    entering = frozenset({StateType.CRASHED})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        run, initial = transition.run, transition.initial
        assert initial is not None
        if run.policy.retry_type != "in_process" or run.deployment_id is None:
            return ACCEPT
        at = initial.details.scheduled_time or facts.now
        again = awaiting_retry(at, message=transition.proposed.message, data=initial.data)
        return Reject("its process only waited, so an agent starts it again", again, _left_to_agents(run))


def _left_to_agents(run: Run) -> Run:
    return with_policy(run, resuming=False, pause_keys=frozenset(), retry_type="reschedule")


def _unstarted(run: Run, initial: State | None) -> int:
    # A task run that its paused flow run holds back has not started. A suspended run that was about to continue has.
    waiting = {StateType.PENDING, StateType.PAUSED} if run.kind == "task-run" else {StateType.PENDING}
    had_started = initial is None or initial.type not in waiting or run.policy.resuming
    return run.policy.unstarted + (0 if had_started else 1)


def _crashed_once_more(run: Run, initial: State | None) -> Run:
    counts = {"crash_count": run.policy.crash_count + 1, "unstarted": _unstarted(run, initial)}
    if run.kind == "task-run":
        return with_policy(run, **counts)
    # The process is gone, so an agent must start the run again, if it has a deployment. Agents skip runs that are
    # retried in their process. Its pauses apply again, as after a failure.
    place: Literal["in_process", "reschedule"] = "in_process" if run.deployment_id is None else "reschedule"
    return with_policy(run, **counts, resuming=False, pause_keys=frozenset(), retry_type=place)
