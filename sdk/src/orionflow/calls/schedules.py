"""Calls about schedules of deployments, their times, and calendars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, Collection, present
from orionflow.calls.deployments import DEPLOYMENTS

if TYPE_CHECKING:
    from orionflow.contract.schedules import Calendar, DeploymentSchedule, UpcomingTime

CALENDARS: Collection[Calendar] = Collection("/calendars", lambda: contract.schedules.Calendar)


def schedules_of(deployment_id: UUID | str) -> Collection[DeploymentSchedule]:
    """Return the collection of schedules of one deployment. Several are created at once, as a list."""
    return Collection(f"{DEPLOYMENTS.one(deployment_id)}/schedules", _schedule, end="")


def _schedule() -> Any:
    return contract.schedules.DeploymentSchedule


def read_schedules(deployment_id: UUID | str) -> Call[list[DeploymentSchedule]]:
    """Read all schedules of one deployment."""
    return Call("GET", schedules_of(deployment_id).path, read=lambda: list[_schedule()])  # type: ignore[misc]


def preview_schedule(
    deployment_id: UUID | str, schedule_id: UUID | str, *, count: int, after: datetime | None = None
) -> Call[list[UpcomingTime]]:
    """Preview the next times of a schedule, with remarks on each."""
    path = f"{schedules_of(deployment_id).one(schedule_id)}/preview"
    return Call("POST", path, present(count=count, after=after), read=_times)


def _times() -> Any:
    return list[contract.schedules.UpcomingTime]


def preview_draft(definition: Mapping[str, Any], **more: Any) -> Call[list[UpcomingTime]]:
    """Preview the next times of a schedule that is not stored (`calendars=`, `count=`, `after=`)."""
    body = {"definition": dict(definition), **present(**more)}
    return Call("POST", "/schedules/preview", body, read=_times)


def read_feed(deployment_id: UUID | str | None = None) -> Call[bytes]:
    """Read the planned runs of a deployment, or of all, as an iCalendar document."""
    path = "/schedules.ics" if deployment_id is None else f"{DEPLOYMENTS.one(deployment_id)}/schedule.ics"
    return Call("GET", path, read=bytes)
