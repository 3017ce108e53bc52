"""Proposals of states and their outcomes, and how a proposal is read before the rules judge it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from orchestration.core.decide import Judgement
from orchestration.core.policies import MINIMAL_FLOW, MINIMAL_TASK, Policy, usual_policy
from orchestration.core.runs import Run
from orchestration.core.states import State, StateType
from orchestration.core.verdicts import Abort, Accept, Reject, Wait
from orchestration.moving import MovingRun
from orchestration.tables import FLOW_RUNS
from orionflow.contract.states import BETWEEN_ATTEMPTS


class Proposal(NamedTuple):
    """A state that is proposed for a run.

    `epoch` is the attempt that proposes it, if one does. `author` is None for the run's own client. The rules judge by
    the time `now`. With `new_attempt` the state begins a new attempt: reports of the attempt before it are refused from
    then on. `policy` names the rules to ask, if these are neither the usual nor those of a forced state.
    """

    state: State
    now: datetime
    epoch: int | None = None
    force: bool = False
    author: str | None = None
    new_attempt: bool = False
    policy: Policy | None = None
    # When the run entered the state, if it could not be reported at that time.
    at: datetime | None = None


class Outcome(NamedTuple):
    """The outcome of a proposal: the verdict, the run's state after it, and whether this proposal wrote that state."""

    verdict: Accept | Reject | Wait | Abort
    state: State | None
    written: bool
    trail: tuple[Judgement, ...]

    @property
    def refusal(self) -> str:
        """Return the reason why no state was written; empty if the proposed state, or another one, was."""
        return "" if self.written or isinstance(self.verdict, Accept) else self.verdict.reason


def policy_for(run: Run, force: bool) -> Policy:
    if not force:
        return usual_policy(run)
    return MINIMAL_FLOW if run.kind == "flow-run" else MINIMAL_TASK


def with_scheduled_time(proposed: State, now: datetime) -> State:
    if proposed.type is StateType.SCHEDULED and proposed.details.scheduled_time is None:
        return proposed.with_details(scheduled_time=now)
    return proposed


def by_the_clock_of_the_run(moving: MovingRun, proposal: Proposal) -> Proposal:
    """Return the proposal at a moment that follows the current state, although the clock was set back since.

    The delay of a retry begins after the attempt. A program that has waited for the retry, by a clock that is never set
    back, names the time that it waited for. A flow run that crashed waits for an agent, which goes by the clock as it
    is now.
    """
    before = moving.state
    if before is None or before.timestamp is None:
        return proposal
    if before.type is StateType.RUNNING and proposal.now < before.timestamp:
        is_left_to_agents = moving.tables is FLOW_RUNS and proposal.state.type is StateType.CRASHED
        return proposal if is_left_to_agents else proposal._replace(now=before.timestamp)
    proposed, due = proposal.state, before.details.scheduled_time
    if before.name not in BETWEEN_ATTEMPTS or proposed.type is not StateType.RUNNING or due is None:
        return proposal
    if proposed.details.scheduled_time != due:
        return proposal
    return proposal._replace(state=proposed.with_details(scheduled_time=None), now=max(proposal.now, due))
