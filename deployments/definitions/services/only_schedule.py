"""Deployments with one schedule, as Prefect's clients know them: it is paused and resumed with its deployment.

Their requests have the fields `schedule` and `is_schedule_active`. They are refused for a deployment with several
schedules, because the client does not know which ones it would change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.definitions.services.deployments import update_deployment
from deployments.errors import SeveralSchedules
from deployments.models import Schedule
from deployments.schedules.services.changes import Plans
from deployments.schedules.services.planning import replan
from deployments.schedules.services.schedules import NewSchedule, held_deployment
from orchestration.authors import made_by
from orchestration.transactions import repeated_on_conflict, write_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSchedules:
    """The schedules in a request, by either way to send them, and whether the deployment is to be paused.

    `only` is the definition in `schedule`; if that was sent as None, the schedule is to be deleted.
    """

    schedules: Sequence[NewSchedule] | None = None
    only: dict[str, Any] | None = None
    only_was_sent: bool = False
    is_schedule_active: bool | None = None
    paused: bool | None = None

    @property
    def columns(self) -> Mapping[str, Any]:
        """Return the columns of the deployment that follow."""
        if self.paused is not None:
            return {"paused": self.paused}
        return {} if self.is_schedule_active is None else {"paused": not self.is_schedule_active}

    @property
    def wanted(self) -> Sequence[NewSchedule] | None:
        """Return the schedules that the deployment is to have; None if they do not change."""
        # Clients also send an empty list next to their single schedule, because it is the field's default.
        if self.schedules:
            return self.schedules
        if self.only is not None:
            active = not self.paused if self.is_schedule_active is None else self.is_schedule_active
            return [NewSchedule(definition=self.only, active=active)]
        return () if self.only_was_sent else self.schedules

    @property
    def concern_the_only_one(self) -> bool:
        """Whether a change is meant for a deployment that has one schedule."""
        if self.only_was_sent:
            return not self.schedules
        return self.is_schedule_active is not None and self.paused is None and self.schedules is None


@repeated_on_conflict
def update_as_sent(
    *, deployment_id: UUID, changes: Mapping[str, Any], sent: SentSchedules, now: datetime, **queue: str | None
) -> None:
    """Change columns and the queue of a deployment, and its schedules if they were sent. Raises SeveralSchedules."""
    schedules = sent.wanted
    with write_transaction():
        if sent.concern_the_only_one and schedules is None:
            set_paused(deployment_id=deployment_id, paused=sent.columns["paused"], now=now)
        elif sent.concern_the_only_one:
            # Lock first, so that nobody adds a schedule meanwhile, which would be replaced unseen.
            held_deployment(deployment_id)
            _refuse_several_schedules(deployment_id)
        update_deployment(
            deployment_id=deployment_id, changes={**changes, **sent.columns}, schedules=schedules, now=now, **queue
        )


@repeated_on_conflict
def set_paused(*, deployment_id: UUID, paused: bool, now: datetime) -> None:
    """Pause or resume a deployment and its only schedule. Raises SeveralSchedules."""
    with write_transaction():
        deployment = held_deployment(deployment_id)
        before = Plans.of(deployment)
        _refuse_several_schedules(deployment_id)
        deployment.paused, deployment.updated_by = paused, made_by()
        deployment.save(update_fields=["paused", "updated", "updated_by"])
        Schedule.objects.filter(deployment=deployment).update(active=not paused, updated=now, updated_by=made_by())
        replan(before, deployment, now)


def pause_or_resume(*, deployment_id: UUID, paused: bool, now: datetime) -> None:
    """Pause or resume a deployment. Its only schedule follows; several schedules keep their own state."""
    try:
        set_paused(deployment_id=deployment_id, paused=paused, now=now)
    except SeveralSchedules:
        update_deployment(deployment_id=deployment_id, changes={"paused": paused}, now=now)


def _refuse_several_schedules(deployment_id: UUID) -> None:
    if Schedule.objects.filter(deployment=deployment_id).count() > 1:
        raise SeveralSchedules(id=deployment_id)
