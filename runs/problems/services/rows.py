"""Rows of problems under a lock, and the events of their changes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from events.models import Event
from events.recording.record import new_event
from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE
from runs.errors import ProblemNotFound
from runs.models import Occurrence, Problem
from runs.problems.core import Change

MUTING = ("muted_until", "muted_until_failures", "muted_in_version")


def locked_problem(problem_id: UUID) -> Problem:
    problem = Problem.objects.select_for_update(no_key=True).filter(pk=problem_id).first()
    if problem is None:
        raise ProblemNotFound(id=problem_id)
    return problem


def unmute(problem: Problem) -> None:
    problem.muted_until = problem.muted_until_failures = problem.muted_in_version = None


def save_problem(problem: Problem, now: datetime, *columns: str) -> None:
    problem.updated = now
    problem.save(update_fields=["status", "since", "updated", *columns])


def event_of(problem: Problem, change: Change, newest: Occurrence | None, now: datetime) -> Event:
    """Return the event for a change of a problem, not stored yet. It is related to the run of the newest failure."""
    related = []
    if newest is not None:
        related = [(f"prefect.flow.{newest.flow_id}", "flow"), (f"prefect.flow-run.{newest.run_id}", "flow-run")]
        if newest.deployment_id:
            related.append((f"prefect.deployment.{newest.deployment_id}", "deployment"))
    return new_event(
        f"orion.problem.{change}",
        resource={RESOURCE_ID: f"orion.problem.{problem.pk}", "prefect.resource.name": problem.title[:255]},
        related=[{RESOURCE_ID: one, RESOURCE_ROLE: role} for one, role in related],
        payload={
            "type": problem.type,
            "place": problem.place,
            "message": problem.example,
            "status": problem.status,
            "failures": problem.failures,
            "version": problem.version,
            "first_seen": problem.first_seen.isoformat(),
            "resolution": problem.resolution,
        },
        now=now,
    )
