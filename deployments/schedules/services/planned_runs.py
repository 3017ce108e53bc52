"""Planned runs: stored many at once, each under the key of its moment, and deleted.

The key makes planning safe: a process that plans a moment again, at the same time or later, finds the key taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import F, QuerySet

from deployments.definitions.services.runs import deadlines_of, inherited_run, merged_tags
from deployments.models import Deadline, Deployment, Schedule, SkippedTime
from orchestration.core.states import scheduled
from orchestration.moving import MovingRun
from orchestration.new_runs import NewFlowRun
from orchestration.proposals import Proposal
from orchestration.tables import dialect, insert_rows
from orchestration.unit import Unit
from orionflow.contract.ids import uuid7
from runs.flow_runs.services import delete_flow_runs
from runs.models import FlowRun
from runs.naming import two_word_name

AUTO_TAG = "auto-scheduled"


@dataclass(frozen=True, slots=True)
class Planned:
    """The moments of one schedule that get a run."""

    deployment: Deployment
    schedule: Schedule
    times: Sequence[datetime]


def store_planned(planned: Iterable[Planned], now: datetime) -> Counter[UUID]:
    """Store the runs that do not exist yet. Return their number by schedule."""
    # The insert itself finds taken keys: between a question and it, another planner could take more.
    unit = Unit(now, known_are_left_out=True)
    created = [(one, moving) for one in planned for moving in _scheduled_runs(unit, one, now)]
    unit.write()
    # The unit has dropped those whose key was taken.
    stored = [(one, moving.run) for one, moving in created if moving.run.id in unit.runs]
    db = dialect()
    deadlines = [
        (db.uuid(deadline.flow_run_id), str(deadline.kind), db.moment(deadline.due))
        for one, run in stored
        for deadline in deadlines_of([(run.id, run.expected_start_time)], one.deployment)
    ]
    insert_rows(Deadline._meta.db_table, ("flow_run_id", "kind", "due"), deadlines)
    return Counter(one.schedule.pk for one, _ in stored)


def _scheduled_runs(unit: Unit, planned: Planned, now: datetime) -> Iterator[MovingRun]:
    template = planned_run(planned.deployment, planned.schedule)
    for at in planned.times:
        new = replace(template, name=two_word_name(), idempotency_key=key_of(planned.schedule, at))
        moving = unit.create(new, uuid7())
        unit.propose(moving, Proposal(scheduled(at, message="Flow run scheduled"), now, force=True))
        yield moving


def key_of(schedule: Schedule, at: datetime) -> str:
    """Return the key: one run for each moment of a deployment, or of a schedule that sets parameters for its runs."""
    key = f"scheduled {schedule.deployment_id} {at.astimezone(UTC).isoformat()}"
    return f"{key} {schedule.pk}" if schedule.parameters else key


def planned_run(deployment: Deployment, schedule: Schedule) -> NewFlowRun:
    """Return a run as it is planned, except for its name and its moment."""
    run = inherited_run(deployment)
    return replace(
        run,
        tags=merged_tags([AUTO_TAG], run.tags),
        parameters={**run.parameters, **schedule.parameters},
        auto_scheduled=True,
        schedule_id=schedule.pk,
        created_by={"id": str(deployment.pk), "type": "DEPLOYMENT", "display_value": deployment.name},
    )


def of_planned(deployment_id: UUID) -> QuerySet[FlowRun]:
    """Return runs that schedules of a deployment have planned, and that no agent has taken."""
    return FlowRun.objects.filter(
        deployment_id=deployment_id,
        auto_scheduled=True,
        state_type="SCHEDULED",
        run_count=0,
        idempotency_key__startswith=f"scheduled {deployment_id} ",
    )


def delete_planned_runs(runs: Mapping[UUID, UUID | None]) -> None:
    """Delete planned runs, which the caller has locked, and subtract them from their schedules' counts."""
    if not runs:
        return
    delete_flow_runs(FlowRun.objects.filter(pk__in=runs).values("pk"))
    for schedule_id, number in Counter(runs.values()).items():
        # The schedule of a run that was due may have been deleted.
        Schedule.objects.filter(pk__in=[schedule_id] if schedule_id else [], runs_planned__gte=number).update(
            runs_planned=F("runs_planned") - number
        )


def skipped_times(schedules: Sequence[Schedule]) -> dict[UUID, set[datetime]]:
    """Return, by schedule, the times whose runs a user deleted."""
    by_deployment: dict[UUID, list[SkippedTime]] = {}
    for skip in SkippedTime.objects.filter(deployment__in={one.deployment_id for one in schedules}):
        by_deployment.setdefault(skip.deployment_id, []).append(skip)
    return {
        one.pk: {skip.at for skip in skips if skip.schedule_id == one.pk or skip.key == key_of(one, skip.at)}
        for one in schedules
        if (skips := by_deployment.get(one.deployment_id))
    }


def taken_times(schedules: Sequence[Schedule], since: datetime) -> dict[UUID, set[datetime]]:
    """Return, by schedule, the times after `since` that have a run in any state."""
    ids = {one.deployment_id for one in schedules}
    runs = FlowRun.objects.filter(deployment_id__in=ids, auto_scheduled=True, expected_start_time__gt=since)
    times: dict[UUID, dict[str, datetime]] = {}
    for deployment_id, key, at in runs.values_list("deployment_id", "idempotency_key", "expected_start_time"):
        times.setdefault(deployment_id, {})[key] = at
    return {
        one.pk: {at for key, at in found.items() if key == key_of(one, at)}
        for one in schedules
        if (found := times.get(one.deployment_id))
    }
