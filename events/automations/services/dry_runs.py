"""Dry runs: what an automation or a notification policy would have done about the past. Nothing is stored or sent."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from deployments.errors import BlockDocumentNotFound
from deployments.models import BlockDocument
from events.automations.core.matching import EventData
from events.automations.core.message_templates import USUAL, fill
from events.automations.core.simulation import Limits, Simulation
from events.automations.core.triggers import leaves, read_trigger
from events.automations.services.actions import MESSAGES, queued_by, refuse_impossible, target_named
from events.automations.services.automations import refuse_invalid, with_ids
from events.automations.services.trigger_states import GRACE, MOST_FIRINGS_A_MINUTE, PER, event_fields
from events.models import ActionRun, Automation, Event, Notification, NotificationPolicy
from events.notifications.services import policies
from events.recording.outbox import SUBJECT, values_for, wants
from events.recording.past import Past, past_arrivals, past_changes
from orchestration.authors import asking_user
from orchestration.core.states import State
from orchestration.errors import DomainError
from orionflow.contract.ids import uuid7
from runs.models import FlowRun

# Firings that are listed.
NEWEST = 20
# Watches that may end in one dry run.
MOST_WATCHES = 100_000


@dataclass(frozen=True, slots=True)
class Planned:
    """An action that would have been done: its target as the id of a resource, its message, or why it would fail."""

    action: Mapping[str, Any]
    target: str = ""
    message: Notification | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PastFiring:
    """One time at which an automation would have fired."""

    at: datetime
    event_data: EventData | None
    actions: Sequence[Planned]


@dataclass(frozen=True, slots=True)
class DryRun:
    """The firings of an automation in the past. `since` is how far back the dry run looked."""

    since: datetime
    is_cut: bool
    looked_at: int
    fired: int
    held_back: int
    first: datetime | None
    # The newest first. Only the newest one has its messages.
    newest: Sequence[PastFiring]
    # When watches had ended so often that the rest was left out.
    gave_up_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PolicyDryRun:
    """The messages of a policy in the past: runs with their states, the newest first, and the text of the newest."""

    since: datetime
    is_cut: bool
    looked_at: int
    sent: int
    first: datetime | None
    newest: Sequence[tuple[FlowRun, State]]
    message: Notification | None


def dry_run_automation(
    *, columns: Mapping[str, Any], automation_id: UUID | None = None, since: datetime, now: datetime
) -> DryRun:
    """Say when an automation would have fired if it had existed since then. Refuses what cannot be saved."""
    refuse_invalid(columns)
    row = {**columns, "trigger": with_ids(columns["trigger"])}
    automation = Automation(**row, author=asking_user())
    if automation_id is not None:
        automation.pk = automation_id
    trigger = read_trigger(automation.trigger)
    named = [one.expect | one.after if one.expect else frozenset[str]() for one in leaves(trigger)]
    names = sorted(frozenset[str]().union(*named)) if all(named) else []
    past = past_arrivals(since=since, until=now, names=names)
    actions = [*automation.actions, *automation.actions_on_trigger]
    limits = Limits(MOST_FIRINGS_A_MINUTE if actions else sys.maxsize, PER, GRACE, MOST_WATCHES, NEWEST)
    made = Simulation(trigger, past.since, limits, own_resource=f"prefect.automation.{automation.pk}")
    made.feed(past.rows, until=now)
    newest = list(reversed(made.newest))
    return DryRun(
        past.since,
        past.is_cut,
        len(past.rows),
        made.fired,
        made.held_back,
        made.first,
        [_firing(automation, one.at, one.event_data, now, with_messages=not place) for place, one in enumerate(newest)],
        made.gave_up_at,
    )


def _firing(
    automation: Automation, at: datetime, event_data: EventData | None, now: datetime, *, with_messages: bool
) -> PastFiring:
    actions = [*automation.actions, *automation.actions_on_trigger]
    event = event_fields(_complete(event_data) if with_messages else event_data) if event_data else None
    action_runs = [ActionRun(id=uuid7(), automation=automation, action=one, event=event) for one in actions]
    return PastFiring(at, event_data, [_planned(one, now, with_messages=with_messages) for one in action_runs])


def _complete(event_data: EventData) -> EventData:
    """Return the event with its payload, which is not read for all of them."""
    stored = Event.objects.filter(pk=event_data.id).values_list("payload", flat=True).first()
    if stored is None:
        return event_data
    return EventData(
        event_data.id, event_data.event, event_data.occurred, event_data.resource, event_data.related, stored
    )


def _planned(action_run: ActionRun, now: datetime, *, with_messages: bool) -> Planned:
    action, target = action_run.action, ""
    try:
        target = target_named(action_run)
        if not with_messages:
            return Planned(action, target)
        refuse_impossible(action_run)
        return Planned(action, target, queued_by(action_run, now) if action["type"] in MESSAGES else None)
    except DomainError as problem:
        return Planned(action, target, problem=str(problem))


def dry_run_policy(*, columns: Mapping[str, Any], since: datetime, now: datetime) -> PolicyDryRun:
    """Say which messages a policy would have sent about the states since then. Refuses what cannot be saved."""
    policies.refuse_invalid(columns)
    block = BlockDocument.objects.select_related("block_type").filter(pk=columns["block_document_id"]).first()
    if block is None:
        raise BlockDocumentNotFound(id=columns["block_document_id"])
    policy = NotificationPolicy(**{**columns, "block_document": block})
    chosen = Q(name__in=policy.state_names) | Q(type__in=policy.state_types)
    is_any = not policy.state_names and not policy.state_types
    past: Past[tuple[FlowRun, State]] = past_changes(since=since, until=now, entered=Q() if is_any else chosen)
    sent = [(run, state) for run, state in past.rows if wants(policy, run, state)]
    return PolicyDryRun(
        past.since,
        past.is_cut,
        len(past.rows),
        len(sent),
        sent[0][1].timestamp if sent else None,
        sent[: -NEWEST - 1 : -1],
        _message(policy, *sent[-1], now) if sent else None,
    )


def _message(policy: NotificationPolicy, run: FlowRun, state: State, now: datetime) -> Notification:
    body = fill(policy.message_template or USUAL, values_for(policy, run, state))
    return Notification(block_document=policy.block_document, subject=SUBJECT, body=body, created=now)
