"""Runs that schedules have planned: stored many at once, each under the key of its moment, and taken back.

The key is what makes planning safe: whoever plans a moment again, at the same time or later, finds it taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet

from deployments.definitions.services.runs import deadlines_of, merged_tags, policy_of, queue_id_of, queue_name_of
from deployments.models import Deadline, Deployment, Schedule, SkippedTime
from orchestration.beginnings import Beginning, beginning
from orchestration.bulk_beginnings import store_flow_runs
from orchestration.columns import json_text, policy_from, spelling
from orchestration.core.runs import Run
from orchestration.core.states import scheduled
from orchestration.record import insert_rows
from orchestration.stored import FLOW_RUNS
from orionflow.contract.ids import uuid7
from runs.flow_runs.services import delete_flow_runs
from runs.models import FlowRun
from runs.naming import two_word_name

AUTO_TAG = "auto-scheduled"


@dataclass(frozen=True, slots=True)
class Planned:
    """The moments of one schedule that are to get a run."""

    deployment: Deployment
    schedule: Schedule
    times: Sequence[datetime]


def store_planned(planned: Iterable[Planned], now: datetime) -> Counter[UUID]:
    """Store the runs that are not there yet; how many those are, by schedule."""
    begun: list[tuple[Beginning, dict[str, Any]]] = []
    deployments: dict[UUID, Deployment] = {}
    for one in planned:
        deployments[one.deployment.pk] = one.deployment
        begun += _begun(one, now)
    new = store_flow_runs(begun, now)
    stored = [(first, own) for first, own in begun if first.stored.run.id in new]
    _store_deadlines(stored, deployments)
    return Counter(own["schedule_id"] for _, own in stored)


def _begun(planned: Planned, now: datetime) -> list[tuple[Beginning, dict[str, Any]]]:
    shared = columns_of_planned(planned.deployment, planned.schedule)
    policy = shared["empirical_policy"]
    judged = policy_from(json_text(policy))
    begun = []
    for at in planned.times:
        run = Run(id=uuid7(), kind="flow-run", policy=judged, deployment_id=planned.deployment.pk)
        state = scheduled(at, message="Flow run scheduled")
        own = {
            **shared,
            "name": two_word_name(),
            "idempotency_key": key_of(planned.schedule, at),
            "schedule_id": planned.schedule.pk,
            "auto_scheduled": True,
        }
        begun.append((beginning(FLOW_RUNS, run, state, policy=policy, now=now), own))
    return begun


def key_of(schedule: Schedule, at: datetime) -> str:
    """One run for each moment of a deployment, or of a schedule whose runs get parameters of their own."""
    key = f"scheduled {schedule.deployment_id} {at.astimezone(UTC).isoformat()}"
    return f"{key} {schedule.pk}" if schedule.parameters else key


def columns_of_planned(deployment: Deployment, schedule: Schedule) -> dict[str, Any]:
    """The columns that a planned run has from its deployment and its schedule."""
    return {
        "tags": merged_tags([AUTO_TAG], deployment.tags),
        "empirical_policy": policy_of(deployment),
        "flow_id": deployment.flow_id,
        "deployment_id": deployment.pk,
        "deployment_version": deployment.version,
        "work_queue_id": queue_id_of(deployment),
        "work_queue_name": queue_name_of(deployment),
        "parameters": {**deployment.parameters, **schedule.parameters},
        "context": {},
        "job_variables": {},
        "infrastructure_document_id": deployment.infrastructure_document_id,
        "created_by": {"id": str(deployment.pk), "type": "DEPLOYMENT", "display_value": deployment.name},
    }


def _store_deadlines(
    stored: Iterable[tuple[Beginning, Mapping[str, Any]]], deployments: Mapping[UUID, Deployment]
) -> None:
    spell = spelling()
    rows = [
        (spell.uuid(deadline.flow_run_id), str(deadline.kind), spell.moment(deadline.due))
        for first, own in stored
        for deadline in deadlines_of(
            [(first.stored.run.id, first.columns["expected_start_time"])], deployments[own["deployment_id"]]
        )
    ]
    insert_rows(Deadline._meta.db_table, ("flow_run_id", "kind", "due"), rows)


def of_planned(deployment_id: UUID) -> QuerySet[FlowRun]:
    """Runs that the schedules of a deployment planned, and that nobody took yet."""
    return FlowRun.objects.filter(
        deployment_id=deployment_id,
        auto_scheduled=True,
        state_type="SCHEDULED",
        run_count=0,
        idempotency_key__startswith=f"scheduled {deployment_id} ",
    )


def take_back(runs: Mapping[UUID, UUID | None]) -> None:
    """Delete planned runs, which the caller holds, and let their schedules (given by run) count them no longer."""
    if not runs:
        return
    delete_flow_runs(FlowRun.objects.filter(pk__in=runs).values("pk"))
    for schedule_id, number in Counter(runs.values()).items():
        # The schedule of a run that was due may be gone.
        Schedule.objects.filter(pk__in=[schedule_id] if schedule_id else [], runs_planned__gte=number).update(
            runs_planned=F("runs_planned") - number
        )


def skipped_times(schedules: Sequence[Schedule]) -> dict[UUID, set[datetime]]:
    """By schedule, the times whose runs somebody deleted."""
    by_deployment: dict[UUID, list[SkippedTime]] = {}
    for skip in SkippedTime.objects.filter(deployment__in={one.deployment_id for one in schedules}):
        by_deployment.setdefault(skip.deployment_id, []).append(skip)
    return {
        one.pk: {skip.at for skip in skips if skip.schedule_id == one.pk or skip.key == key_of(one, skip.at)}
        for one in schedules
        if (skips := by_deployment.get(one.deployment_id))
    }


def taken_times(schedules: Sequence[Schedule], since: datetime) -> dict[UUID, set[datetime]]:
    """By schedule, the times after `since` that have a run, in whatever state it is."""
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
