"""The log of messages with every attempt to deliver them, and messages that are sent to see whether they arrive."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.utils import timezone
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from events.automations.services.trials import try_block, try_policy
from events.models import Notification
from events.recording.filters import NotificationFilter
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import StrictWire
from runs.lists.filters.conditions import matched


class NotificationListing(Page):
    notifications: NotificationFilter | None = None


class Attempt(TypedDict):
    at: datetime
    seconds: float
    outcome: str


class NotificationOut(TypedDict):
    id: UUID
    created: datetime
    block_document_id: UUID
    policy_id: UUID | None
    automation_id: UUID | None
    flow_run_id: UUID | None
    subject: str
    body: str
    standing: str
    due_at: datetime
    sent_at: datetime | None
    is_short: bool
    attempts: list[Attempt]


class FilterNotifications(Operation):
    """List messages, newest first, each with its attempts. They are kept for a week after they were sent."""

    method = "POST"
    action_required = Action.READ_NOTIFICATIONS
    answers = {200: list[NotificationOut]}
    body_optional = True

    def perform(self, body: NotificationListing) -> list[NotificationOut]:
        found = Notification.objects.filter(matched(body.notifications)).order_by("-created", "-id")
        return [notification_out(one) for one in self.paginate_queryset(found)]


class NotificationTrial(StrictWire):
    """A policy whose message is sent, or a block with a message of one's own."""

    policy_id: UUID | None = None
    block_document_id: UUID | None = None
    subject: Annotated[str, Field(max_length=1000)] | None = None
    body: Annotated[str, Field(max_length=10_000)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> NotificationTrial:
        if (self.policy_id is None) == (self.block_document_id is None):
            raise PydanticCustomError("one_of_both", "Give a policy_id or a block_document_id")
        return self


class TryNotification(Operation):
    """Send a message now, once, and answer with what came of it."""

    method = "POST"
    action_required = Action.CHANGE_NOTIFICATIONS
    answers = {201: NotificationOut}
    missing = 409

    def perform(self, body: NotificationTrial) -> NotificationOut:
        if body.policy_id is not None:
            return notification_out(try_policy(policy_id=body.policy_id, now=timezone.now()))
        assert body.block_document_id is not None
        sent = try_block(block_id=body.block_document_id, subject=body.subject, body=body.body, now=timezone.now())
        return notification_out(sent)


def notification_out(one: Notification) -> NotificationOut:
    return {
        "id": one.id,
        "created": one.created,
        "block_document_id": one.block_document_id,
        "policy_id": one.policy_id,
        "automation_id": one.automation_id,
        "flow_run_id": one.flow_run_id,
        "subject": one.subject,
        "body": one.body,
        "standing": one.standing,
        "due_at": one.due_at,
        "sent_at": one.sent_at,
        "is_short": one.is_short,
        "attempts": [_attempt(made) for made in one.tries],
    }


def _attempt(made: dict[str, Any]) -> Attempt:
    return {"at": datetime.fromisoformat(made["at"]), "seconds": made["seconds"], "outcome": made["outcome"]}
