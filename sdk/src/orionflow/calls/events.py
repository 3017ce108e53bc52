"""Calls about events, and about what is done when they occur: automations and notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from orionflow.calls import Call, Collection, Json


def _plain() -> Any:
    return dict[str, Any]


AUTOMATIONS: Collection[Json] = Collection("/automations", _plain)
# What automations did, newest first.
FIRINGS: Collection[Json] = Collection("/automations/firings", _plain)
# In which states of which runs whom a message is sent.
NOTIFICATION_POLICIES: Collection[Json] = Collection("/flow_run_notification_policies", _plain)
# The messages that were sent, or are still to be sent.
NOTIFICATIONS: Collection[Json] = Collection("/notifications", _plain)


def report_events(events: Sequence[Mapping[str, Any]]) -> Call[None]:
    """Store events."""
    return Call("POST", "/events", list(events))


def read_events(criteria: Mapping[str, Any], *, limit: int) -> Call[Json]:
    """The first page of the events that fit, with the address of the next one."""
    return Call("POST", "/events/filter", {"filter": dict(criteria), "limit": limit}, read=dict[str, Any])


def read_next_events(next_page: str) -> Call[Json]:
    """The page to which the address in another one leads."""
    return Call("GET", "/events/filter/next", params=parse_qs(urlsplit(next_page).query), read=dict[str, Any])


def replace_automation(automation_id: UUID | str, fields: Mapping[str, Any]) -> Call[None]:
    """Bring an automation to these fields; what is left out gets its default."""
    return Call("PUT", AUTOMATIONS.one(automation_id), dict(fields))


def try_automation(automation_id: UUID | str) -> Call[list[Json]]:
    """Send the messages of an automation now, about the newest run; its other actions are named, and not done."""
    return Call("POST", f"{AUTOMATIONS.one(automation_id)}/test", read=list[dict[str, Any]])


def try_notification(to: Mapping[str, Any]) -> Call[Json]:
    """Send a test message to the receiver of a policy (`policy_id`), or to a block (`block_document_id`)."""
    return Call("POST", f"{NOTIFICATIONS.path}/test", dict(to), read=dict[str, Any])
