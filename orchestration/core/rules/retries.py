"""Retries of failures: how many there are, and how long a run waits before each."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from orchestration.core.decide import ANYWHERE, FROM_RUNNING, TO_RUNNING, Facts, Transition
from orchestration.core.runs import Run, RunPolicy, revised, with_policy
from orchestration.core.states import StateType, awaiting_retry
from orchestration.core.verdicts import ACCEPT, Amend, Reject, Verdict
from orionflow.contract.states import BETWEEN_ATTEMPTS


class RetryFailedFlows:
    """A failed flow run runs again while it has retries left. It remains the same run, and its pauses apply again.
    Neither pauses nor crashes use up retries."""

    number = 23
    leaving = FROM_RUNNING
    entering = frozenset({StateType.FAILED})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        verdict = _retry(transition, facts)
        if not isinstance(verdict, Reject):
            return verdict
        run = with_policy(transition.run, resuming=False, pause_keys=frozenset(), retry_type="in_process")
        return replace(verdict, run=run)


class RetryFailedTasks:
    """A failed task run runs again while it has retries left, unless its failure is marked as not retriable."""

    number = 7
    leaving = FROM_RUNNING
    entering = frozenset({StateType.FAILED})

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        policy, failure = transition.run.policy, transition.proposed
        if policy.retries and failure.details.retriable is False:
            return Amend("this failure is marked as not retriable")
        return _retry(transition, facts)


def _retry(transition: Transition, facts: Facts) -> Verdict:
    policy, proposed = transition.run.policy, transition.proposed
    if not policy.retries:
        return ACCEPT
    # The first attempt is not a retry: with retries=2 there may be three.
    attempt = failed_attempts(transition.run)
    if attempt > policy.retries:
        return Amend(f"all {policy.retries} retries are used")
    delay = retry_delay(policy, attempt, facts)
    again = awaiting_retry(facts.now + delay, message=proposed.message, data=proposed.data)
    return Reject(f"retry {attempt} of {policy.retries} in {delay.total_seconds():g} s", state=again)


def failed_attempts(run: Run) -> int:
    """Return how many attempts have failed, including the current one. Crashes are counted separately, and a pause does
    not end an attempt."""
    policy = run.policy
    lost = policy.crash_count + policy.handovers - policy.unstarted
    return max(1, run.run_count - lost - policy.resumes)


def retry_delay(policy: RunPolicy, attempt: int, facts: Facts) -> timedelta:
    """Return how long to wait before retry number `attempt` (from 1).

    The base is `retry_delay`, or its element with that number (the last one repeats), or 1 s if only a factor is given.
    It is multiplied by `retry_backoff_factor ** (attempt - 1)` and limited to `retry_delay_max`. With a jitter factor
    f, the delay is drawn from an exponential distribution with that mean, truncated to [delay * (1 - f), delay * (1 +
    f)], so that many clients spread out.
    """
    seconds = _grown(_base_delay(policy, attempt), policy, attempt)
    if policy.retry_jitter_factor and seconds > 0:
        seconds = _jittered(seconds, policy.retry_jitter_factor, facts.draw)
    return timedelta(seconds=seconds)


def _base_delay(policy: RunPolicy, attempt: int) -> float:
    delays = policy.retry_delay
    if isinstance(delays, tuple):
        return delays[min(attempt, len(delays)) - 1] if delays else 0.0
    if delays is None:
        return 0.0 if policy.retry_backoff_factor is None else 1.0
    return delays


# A year. Longer delays could overflow dates, and are of no use.
LONGEST_DELAY_SECONDS = 366 * 24 * 3600.0


def _grown(base: float, policy: RunPolicy, attempt: int) -> float:
    longest = LONGEST_DELAY_SECONDS if policy.retry_delay_max is None else policy.retry_delay_max
    if policy.retry_backoff_factor is None or base == 0:
        return min(base, longest)
    exponent = (attempt - 1) * math.log(max(policy.retry_backoff_factor, 1e-9))
    return min(base * math.exp(min(exponent, 100.0)), longest)


def _jittered(mean: float, factor: float, draw: float) -> float:
    """Return a delay by inverse transform sampling of the truncated exponential distribution."""
    low, high = mean * max(0.0, 1 - factor), mean * (1 + factor)
    from_low, from_high = math.exp(-low / mean), math.exp(-high / mean)
    return -mean * math.log(from_low - draw * (from_low - from_high))


class NameRepeatedTries:
    """A task run that starts again is named Retrying after a failure, and Rerunning otherwise."""

    number = 9
    leaving = ANYWHERE
    entering = TO_RUNNING

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        if transition.run.run_count == 0:
            return ACCEPT
        retrying = transition.initial is not None and transition.initial.name in BETWEEN_ATTEMPTS
        name = "Retrying" if retrying else "Rerunning"
        return Amend(f"start number {transition.run.run_count + 1}", state=replace(transition.proposed, name=name))


class RememberFlowAttempt:
    """A task run stores in which attempt of its flow run it last started."""

    number = 10
    leaving = ANYWHERE
    entering = TO_RUNNING

    def judge(self, transition: Transition, facts: Facts) -> Verdict:
        parent = facts.parent_flow_run()
        if parent is None or parent.run_count == transition.run.flow_run_run_count:
            return ACCEPT
        run = revised(transition.run, flow_run_run_count=parent.run_count)
        return Amend(f"attempt {parent.run_count} of its flow run", run=run)
