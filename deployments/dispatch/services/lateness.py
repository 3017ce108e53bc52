"""Lateness: mark runs that were not started in time as late, and record missed deadlines.

Any number of tickers may call both functions at any time: each run is checked again under its lock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet

from deployments.models import Deadline
from events.recording.record import record_event
from orchestration.core.policies import LATE_FLOW
from orchestration.core.states import TERMINAL, late
from orchestration.errors import FlowRunNotFound
from orchestration.one_by_one import Turns, work_on_each
from orchestration.proposals import Proposal
from orchestration.services import propose
from orchestration.stored import locked_run
from orchestration.tables import FLOW_RUNS
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE
from runs.models import FlowRun

BATCH = 400
AUTHOR = "lateness"
_turns: Turns[tuple[datetime, UUID]] = Turns()


def mark_late_runs(now: datetime, *, grace_seconds: float = 15) -> int:
    """Mark the runs that were due longer than the grace period ago as late, and return their number.

    An error with one run does not stop the others; the first error is raised at the end.
    """
    grace = timedelta(seconds=grace_seconds)
    keys = _turns.next_ones(lambda last, most: _overdue(now - grace, last, most), BATCH)
    return work_on_each([pk for _, pk in keys], lambda run_id: _mark_late(run_id, now, grace), "Flow run")


def _overdue(due: datetime, after: tuple[datetime, UUID] | None, most: int) -> list[tuple[datetime, UUID]]:
    # Retries and resumed runs have other names: they wait for their own process, or were requested just now.
    scheduled = FlowRun.objects.filter(
        state_type="SCHEDULED", state_name="Scheduled", next_scheduled_start_time__lte=due
    )
    if after is not None:
        time, pk = after
        behind = Q(next_scheduled_start_time__gt=time) | Q(next_scheduled_start_time=time, pk__gt=pk)
        scheduled = scheduled.filter(behind, next_scheduled_start_time__gte=time)
    keys = scheduled.order_by("next_scheduled_start_time", "pk").values_list("next_scheduled_start_time", "pk")
    return [(time, pk) for time, pk in keys[:most] if time is not None]


@repeated_on_conflict
def _mark_late(run_id: UUID, now: datetime, grace: timedelta) -> bool:
    with write_transaction():
        try:
            stored = locked_run(FLOW_RUNS, run_id)
        except FlowRunNotFound:
            return False
        due = stored.run.next_scheduled_start_time
        if stored.state is None or stored.state.name != "Scheduled" or due is None or due > now - grace:
            return False
        state = late(stored.state.details.scheduled_time or due, message=_why_late(due, now))
        return propose(FLOW_RUNS, run_id, Proposal(state, now, author=AUTHOR, policy=LATE_FLOW)).written


def _why_late(due: datetime, now: datetime) -> str:
    return (
        f"It was due at {due:%Y-%m-%d %H:%M:%S} UTC and had not been started {(now - due).total_seconds():.0f} s later."
    )


def watch_deadlines(now: datetime) -> int:
    """Delete deadlines that were met, record an event for each that was missed, and return the number of those."""
    passed = Deadline.objects.filter(missed_at__isnull=True, due__lte=now)
    # Check without a lock first: on SQLite a transaction blocks every writer, and usually nothing has passed.
    return _settle(passed, now) if passed.exists() else 0


@repeated_on_conflict
def _settle(passed: QuerySet[Deadline, Deadline], now: datetime) -> int:
    with write_transaction():
        held = passed.select_for_update(skip_locked=True, of=("self",))
        deadlines = list(held.select_related("flow_run").order_by("due")[:BATCH])
        missed = [deadline for deadline in deadlines if is_missed(deadline)]
        Deadline.objects.filter(pk__in={one.pk for one in deadlines} - {one.pk for one in missed}).delete()
        Deadline.objects.filter(pk__in=[one.pk for one in missed]).update(missed_at=now)
        for deadline in missed:
            _record(deadline, now)
    return len(missed)


def is_missed(deadline: Deadline) -> bool:
    """Whether the run missed a deadline that has passed: it started or finished later, or not at all yet.

    A run that ended without starting, for example because it was cancelled, does not miss a deadline for its start.
    """
    run = deadline.flow_run
    # A run that never started has no end time; use the time of its final state.
    ended = (run.end_time or run.state_timestamp) if run.state_type in TERMINAL else None
    came = ended if deadline.kind == Deadline.Kind.FINISH else run.start_time or ended
    return came is None or came > deadline.due


def _record(deadline: Deadline, now: datetime) -> None:
    run = deadline.flow_run
    related = [{RESOURCE_ID: f"prefect.flow.{run.flow_id}", RESOURCE_ROLE: "flow"}]
    if run.deployment_id:
        related.append({RESOURCE_ID: f"prefect.deployment.{run.deployment_id}", RESOURCE_ROLE: "deployment"})
    record_event(
        f"orion.flow-run.missed-{deadline.kind}",
        resource={RESOURCE_ID: f"prefect.flow-run.{run.pk}", "prefect.resource.name": run.name},
        related=related,
        payload={"due": deadline.due.isoformat(), "state_type": run.state_type, "state_name": run.state_name},
        now=now,
    )
