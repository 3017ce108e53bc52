"""How an attempt ends that does not end by itself: its process died, its agent is gone, or somebody takes it back.

What that makes of the run is decided in one place: a run that was being cancelled is cancelled, one that never began
goes back to its queue (a few times), and any other crashes, or waits for its next crash retry.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import F

from deployments.dispatch.services.remains import Remains
from deployments.models import Deployment, Lease
from orchestration.core.bookkeeping import is_out_of_process
from orchestration.core.decide import Policy
from orchestration.core.policies import UNHEARD_FLOW
from orchestration.core.states import State, StateType, cancelled, crashed, scheduled
from orchestration.errors import FlowRunNotFound, RunLost
from orchestration.services import Proposal, propose
from orchestration.stored import FLOW_RUNS, StoredRun, locked_run
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import FlowRun

CRASH_DETECTION = "crash detection"
# Agents name their reasons for ending a process, or what took it along.
DRAINED = "drained"
OUT_OF_TOUCH = "out of touch"
LAUNCHER_DIED = "launcher died"
AGENT_FAILED = "agent failed"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an attempt is over, in words for its last state, and who says so."""

    message: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How the process of an attempt ended, as its agent saw it."""

    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    message: str | None = None


@repeated_on_conflict
def report_end(*, flow_run_id: UUID, epoch: int, death: Death, agent_name: str, now: datetime) -> State | None:
    """Settle an attempt whose process is gone; the state in which that left the run.

    Raises FlowRunNotFound, and RunLost when the attempt was replaced before.
    """
    with write_transaction():
        stored = locked_run(FLOW_RUNS, flow_run_id)
        if stored.epoch != epoch:
            raise RunLost(id=flow_run_id, epoch=epoch, current=stored.epoch)
        cause = Cause(told(death), f"agent {agent_name}"[:255])
        if _never_began(stored):
            return _settle_before_it_began(stored, death, cause, now)
        policy = UNHEARD_FLOW if death.reason == OUT_OF_TOUCH else None
        return _settle(stored, cause, now, fences=False, policy=policy)


@repeated_on_conflict
def revoke(*, run_id: UUID, cause: Cause, now: datetime, but_from: UUID | None = None) -> State | None:
    """Take a run away from whoever executes it: what that attempt still sends is refused. The state of the run then.

    An attempt that holds no lease is left alone, and so is one of the incarnation `but_from`.
    """
    with write_transaction():
        stored = _locked(run_id)
        if stored is None:
            return None
        lease = Lease.objects.select_for_update().filter(pk=run_id).first()
        if lease is None or (but_from is not None and lease.incarnation == but_from):
            return stored.state
        return take_back(stored, cause, now)


@repeated_on_conflict
def release_by_force(*, run_id: UUID, cause: Cause, now: datetime) -> State | None:
    """End the present attempt, with or without a lease: its places and slots are free when this returns."""
    with write_transaction():
        return _settle(locked_run(FLOW_RUNS, run_id), cause, now, fences=True)


def take_back(stored: StoredRun, cause: Cause, now: datetime) -> State | None:
    """The same for a run that the caller holds, whose agent is gone."""
    if _never_began(stored):
        return _lose_start(stored, cause, now, fences=True)
    return _settle(stored, cause, now, fences=True)


def told(death: Death) -> str:
    """What happened to the process, in a sentence."""
    number, reason = death.signal, f" ({death.reason})" if death.reason else ""
    if number == signal.SIGKILL and not death.reason:
        return "The process of the run was killed by SIGKILL; running out of memory is the usual reason."
    if death.message:
        return death.message
    if number is not None:
        return f"The process of the run was ended by {signal_name(number)}{reason}."
    if death.exit_code is not None:
        return f"The process of the run exited with code {death.exit_code}{reason}, and did not report an end."
    return f"The process of the run is gone{reason}."


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _locked(run_id: UUID) -> StoredRun | None:
    try:
        return locked_run(FLOW_RUNS, run_id)
    except FlowRunNotFound:
        return None


def _never_began(stored: StoredRun) -> bool:
    return stored.state is not None and stored.state.type is StateType.PENDING


def _settle_before_it_began(stored: StoredRun, death: Death, cause: Cause, now: datetime) -> State | None:
    """Nothing of the flow has run yet, so a death that was nobody's wish and not the code's loses the run nothing."""
    if death.reason in (DRAINED, OUT_OF_TOUCH):
        return _back_to_its_queue(stored, cause, now, fences=False)
    killed = death.signal == signal.SIGKILL and death.reason is None
    if death.reason in (LAUNCHER_DIED, AGENT_FAILED) or (killed and not _crash_retries_are_known(stored)):
        return _lose_start(stored, cause, now, fences=False)
    return _settle(stored, cause, now, fences=False)


def _crash_retries_are_known(stored: StoredRun) -> bool:
    """Whether the server has been told how often the run may crash; its code, which knows, was not loaded yet."""
    if stored.run.policy.crash_retries or stored.run.deployment_id is None:
        return True
    return Deployment.objects.filter(pk=stored.run.deployment_id, crash_retries__isnull=False).exists()


def _lose_start(stored: StoredRun, cause: Cause, now: datetime, *, fences: bool) -> State | None:
    """Back to its queue a few times; after that the run itself is suspected of ending whatever takes it."""
    lost = FlowRun.objects.filter(pk=stored.run.id, lost_starts__lt=settings.ORION_LOST_STARTS)
    if lost.update(lost_starts=F("lost_starts") + 1):
        return _back_to_its_queue(stored, cause, now, fences=fences)
    poison = (
        f"{cause.message} It was lost before it began {settings.ORION_LOST_STARTS + 1} times, so it is not tried again."
    )
    return _settle(stored, Cause(poison, cause.author), now, fences=fences)


def _back_to_its_queue(stored: StoredRun, cause: Cause, now: datetime, *, fences: bool) -> State | None:
    assert stored.state is not None
    due = stored.state.details.scheduled_time or now
    again = scheduled(due, message=f"{cause.message} It had not begun, so it waits for an agent again.")
    return propose(FLOW_RUNS, stored.run.id, Proposal(again, now, author=cause.author, new_attempt=fences)).state


def _settle(
    stored: StoredRun, cause: Cause, now: datetime, *, fences: bool, policy: Policy | None = None
) -> State | None:
    state = stored.state
    if state is None or is_out_of_process(stored.run, state):
        Lease.objects.filter(pk=stored.run.id).delete()
        return state
    end = cancelled if state.type is StateType.CANCELLING else crashed
    judged_by = None if state.type is StateType.CANCELLING else policy
    proposal = Proposal(end(cause.message), now, author=cause.author, new_attempt=fences, policy=judged_by)
    outcome = propose(FLOW_RUNS, stored.run.id, proposal)
    Remains(end, cause.message, cause.author, now).close(stored.run.id)
    return outcome.state
