"""The log of messages with their delivery attempts, and test messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from events.automations.services.trials import try_block, try_policy
from events.models import Notification
from events.recording.filters import NotificationFilter
from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import notifications as contract
from runs.lists.filters.conditions import matched


class NotificationListing(Page):
    notifications: NotificationFilter | None = None


class FilterNotifications(Operation):
    """List messages, newest first, each with its attempts. They are kept for a week after they were sent."""

    method = "POST"
    action_required = Action.READ_NOTIFICATIONS
    answers = {200: list[contract.Notification]}
    body_optional = True

    def perform(self, body: NotificationListing) -> list[dict[str, Any]]:
        found = Notification.objects.filter(matched(body.notifications)).order_by("-created", "-id")
        return [notification_out(one) for one in self.paginate_queryset(found)]


class TryNotification(Operation):
    """Send a message once, and return the outcome."""

    method = "POST"
    action_required = Action.CHANGE_NOTIFICATIONS
    answers = {201: contract.Notification}
    missing = 409

    def perform(self, body: contract.NotificationTrial) -> dict[str, Any]:
        if body.policy_id is not None:
            return notification_out(try_policy(policy_id=body.policy_id, now=current_time()))
        assert body.block_document_id is not None
        sent = try_block(block_id=body.block_document_id, subject=body.subject, body=body.body, now=current_time())
        return notification_out(sent)


def notification_out(one: Notification) -> dict[str, Any]:
    attempts = [{**made, "at": datetime.fromisoformat(made["at"])} for made in one.tries]
    return as_answer(contract.Notification, one, attempts=attempts)
