"""Calls about events, and about what is done when they occur: automations and notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, Collection

if TYPE_CHECKING:
    from orionflow.contract.automations import Automation, AutomationTrial, Firing
    from orionflow.contract.events import EventPage
    from orionflow.contract.notifications import FlowRunNotificationPolicy, Notification


AUTOMATIONS: Collection[Automation] = Collection("/automations", lambda: contract.automations.Automation)
# What automations did, newest first.
FIRINGS: Collection[Firing] = Collection("/automations/firings", lambda: contract.automations.Firing)
# In which states of which runs whom a message is sent.
NOTIFICATION_POLICIES: Collection[FlowRunNotificationPolicy] = Collection(
    "/flow_run_notification_policies", lambda: contract.notifications.FlowRunNotificationPolicy
)
# The messages that were sent, or are still to be sent.
NOTIFICATIONS: Collection[Notification] = Collection("/notifications", lambda: contract.notifications.Notification)


def report_events(events: Sequence[Mapping[str, Any]]) -> Call[None]:
    """Store events."""
    return Call("POST", "/events", list(events))


def read_events(criteria: Mapping[str, Any], *, limit: int) -> Call[EventPage]:
    """Read the first page of the events that fit, with the address of the next one."""
    asked = {"filter": dict(criteria), "limit": limit}
    return Call("POST", "/events/filter", asked, read=_page)


def read_next_events(next_page: str) -> Call[EventPage]:
    """Read the page to which the address in another one leads."""
    return Call("GET", "/events/filter/next", params=parse_qs(urlsplit(next_page).query), read=_page)


def _page() -> Any:
    return contract.events.EventPage


def replace_automation(automation_id: UUID | str, fields: Mapping[str, Any]) -> Call[None]:
    """Bring an automation to these fields; what is left out gets its default."""
    return Call("PUT", AUTOMATIONS.one(automation_id), dict(fields))


def try_automation(automation_id: UUID | str) -> Call[list[AutomationTrial]]:
    """Send the messages of an automation now, about the newest run; its other actions are named, and not done."""
    return Call(
        "POST", f"{AUTOMATIONS.one(automation_id)}/test", read=lambda: list[contract.automations.AutomationTrial]
    )


def try_notification(to: Mapping[str, Any]) -> Call[Notification]:
    """Send a test message to the receiver of a policy (`policy_id`), or to a block (`block_document_id`)."""
    return Call("POST", f"{NOTIFICATIONS.path}/test", dict(to), read=NOTIFICATIONS.answer)
