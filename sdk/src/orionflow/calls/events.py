"""Calls about events, and about the reactions to them: automations and notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, Collection, body

if TYPE_CHECKING:
    from orionflow.contract.automations import Automation, AutomationTrial, Firing
    from orionflow.contract.events import EventPage
    from orionflow.contract.notifications import FlowRunNotificationPolicy, Notification


AUTOMATIONS: Collection[Automation] = Collection("/automations", lambda: contract.automations.Automation)
# Actions that automations took, newest first.
FIRINGS: Collection[Firing] = Collection("/automations/firings", lambda: contract.automations.Firing)
# Policies that say for which states of which runs a message is sent, and to whom.
NOTIFICATION_POLICIES: Collection[FlowRunNotificationPolicy] = Collection(
    "/flow_run_notification_policies", lambda: contract.notifications.FlowRunNotificationPolicy
)
# Messages that were sent, or are to be sent.
NOTIFICATIONS: Collection[Notification] = Collection("/notifications", lambda: contract.notifications.Notification)


def report_events(events: Sequence[Mapping[str, Any]]) -> Call[None]:
    """Store events."""
    return Call("POST", "/events", list(events))


def read_events(criteria: Mapping[str, Any], *, limit: int) -> Call[EventPage]:
    """Read the first page of the events that match, with the address of the next page."""
    sent = body(contract.events.EventListing, filter=dict(criteria), limit=limit)
    return Call("POST", "/events/filter", sent, read=_page)


def read_next_events(next_page: str) -> Call[EventPage]:
    """Read the next page of events, by its address in the previous page."""
    return Call("GET", "/events/filter/next", params=parse_qs(urlsplit(next_page).query), read=_page)


def _page() -> Any:
    return contract.events.EventPage


def replace_automation(automation_id: UUID | str, fields: Mapping[str, Any]) -> Call[None]:
    """Replace an automation, with name, trigger and actions; other fields that are omitted stay as they are."""
    return Call("PUT", AUTOMATIONS.one(automation_id), dict(fields))


def try_automation(automation_id: UUID | str) -> Call[list[AutomationTrial]]:
    """Send the messages of an automation now, about the newest run; its other actions are reported, and not taken."""
    return Call(
        "POST", f"{AUTOMATIONS.one(automation_id)}/test", read=lambda: list[contract.automations.AutomationTrial]
    )


def try_notification(to: Mapping[str, Any]) -> Call[Notification]:
    """Send a test message to the receiver of a policy (`policy_id`), or to a block (`block_document_id`)."""
    return Call("POST", f"{NOTIFICATIONS.path}/test", dict(to), read=NOTIFICATIONS.answer)
