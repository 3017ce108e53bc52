"""Read the actions that automations have set off and how they went, and try an automation."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from typing_extensions import TypedDict

from events.automations.services.trials import try_automation
from events.models import ActionRun
from events.notifications.api.notifications import NotificationOut, notification_out
from events.recording.filters import FiringFilter
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orion_site.accounts.permissions import Action
from runs.lists.filters.conditions import matched


class FiringListing(Page):
    firings: FiringFilter | None = None


class FiringOut(TypedDict):
    id: UUID
    created: datetime
    automation_id: UUID
    action: dict[str, Any]
    event: dict[str, Any] | None
    done_at: datetime | None
    error: str


class FilterFirings(Operation):
    """List the actions that automations have set off, newest first. They are kept for a week."""

    method = "POST"
    action_required = Action.READ_AUTOMATIONS
    answers = {200: list[FiringOut]}
    body_optional = True

    def perform(self, body: FiringListing) -> list[FiringOut]:
        found = ActionRun.objects.filter(matched(body.firings)).order_by("-created", "-id")
        return [_out(one) for one in self.paginate_queryset(found)]


class TrialOut(TypedDict):
    action: dict[str, Any]
    outcome: str
    notification: NotificationOut | None


class TryAutomation(Operation):
    """Send the messages of an automation now, about the newest flow run; other actions are only named."""

    method = "POST"
    action_required = Action.CHANGE_AUTOMATIONS
    answers = {200: list[TrialOut]}

    def perform(self, id: UUID) -> list[TrialOut]:
        return [
            {
                "action": one.action,
                "outcome": one.outcome,
                "notification": notification_out(one.notification) if one.notification else None,
            }
            for one in try_automation(automation_id=id, now=timezone.now())
        ]


def _out(one: ActionRun) -> FiringOut:
    return {
        "id": one.id,
        "created": one.created,
        "automation_id": one.automation_id,
        "action": one.action,
        "event": one.event,
        "done_at": one.done_at,
        "error": one.error,
    }
