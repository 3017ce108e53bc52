"""Notification policies, and the log of messages with their delivery attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from events.models import Notification, NotificationPolicy
from runs.pages.selectors.keyset import Cursor, Page, page_of

POLICIES_SHOWN = 200
MESSAGES_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class Attempt:
    at: datetime
    seconds: float
    outcome: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the log, with its attempts in order."""

    notification: Notification
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class NotificationsPage:
    policies: Sequence[NotificationPolicy]
    left_out: bool
    messages: Sequence[Message]
    after: Cursor | None


def notifications_page(
    *, standing: str, block: UUID | None, since: datetime | None, after: Cursor | None
) -> NotificationsPage:
    """Return policies and a page of the log, with two queries. Messages are kept for a week after they were sent."""
    policies = list(_policies().order_by("name", "id")[: POLICIES_SHOWN + 1])
    log = Notification.objects.select_related("block_document__block_type", "policy")
    if standing:
        log = log.filter(standing=standing)
    if block:
        log = log.filter(block_document=block)
    if since:
        log = log.filter(created__gte=since)
    page: Page[Notification] = page_of(log, by="created", after=after, size=MESSAGES_PER_PAGE)
    messages = [Message(one, [_attempt(made) for made in one.tries]) for one in page.rows]
    return NotificationsPage(policies[:POLICIES_SHOWN], len(policies) > POLICIES_SHOWN, messages, page.after)


def policy_with_block(policy_id: UUID) -> NotificationPolicy | None:
    return _policies().filter(pk=policy_id).first()


def _policies() -> QuerySet[NotificationPolicy]:
    return NotificationPolicy.objects.select_related("block_document__block_type")


def _attempt(made: dict[str, Any]) -> Attempt:
    return Attempt(datetime.fromisoformat(made["at"]), made["seconds"], made["outcome"])
