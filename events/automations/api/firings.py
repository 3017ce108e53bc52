"""Read the actions that automations have triggered and their results, and try an automation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from events.automations.services.trials import try_automation
from events.models import ActionRun
from events.notifications.api.notifications import notification_out
from events.recording.filters import FiringFilter
from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import automations as contract
from runs.lists.filters.conditions import matched


class FiringListing(Page):
    firings: FiringFilter | None = None


class FilterFirings(Operation):
    """List the actions that automations have triggered, newest first. They are kept for a week."""

    method = "POST"
    action_required = Action.READ_AUTOMATIONS
    answers = {200: list[contract.Firing]}
    body_optional = True

    def perform(self, body: FiringListing) -> list[dict[str, Any]]:
        found = ActionRun.objects.filter(matched(body.firings)).order_by("-created", "-id")
        return [as_answer(contract.Firing, one) for one in self.paginate_queryset(found)]


class TryAutomation(Operation):
    """Send the messages of an automation now, about the newest flow run. Other actions are only listed."""

    method = "POST"
    action_required = Action.CHANGE_AUTOMATIONS
    answers = {200: list[contract.AutomationTrial]}

    def perform(self, id: UUID) -> list[dict[str, Any]]:
        return [
            as_answer(
                contract.AutomationTrial,
                one,
                notification=notification_out(one.notification) if one.notification else None,
            )
            for one in try_automation(automation_id=id, now=current_time())
        ]
