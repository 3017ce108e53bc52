"""The states of triggers as rows: counting events, closing counts whose time is over, and firing.

The caller has locked the automation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from events.automations.core.matching import EventData
from events.automations.core.triggers import (
    CompositeTrigger,
    Count,
    EventTrigger,
    Fired,
    Progress,
    Trigger,
    advance,
    combine,
    elapsed,
    leaves,
    parent_of,
)
from events.automations.services.own_events import record_action, record_triggered
from events.models import ActionRun, Automation, Event, TriggerState
from orionflow.contract.ids import uuid7

logger = logging.getLogger("orion.automations")

# A limit, because an automation that triggers itself would continue forever.
MOST_FIRINGS_A_MINUTE = 100
PER = timedelta(minutes=1)
HELD_BACK = (
    f"It fired {MOST_FIRINGS_A_MINUTE} times within a minute. Further firings are not acted on until fewer than "
    f"{MOST_FIRINGS_A_MINUTE} lie within the last minute."
)
# An event may be committed slightly after the end of the period in which it occurred.
GRACE = timedelta(seconds=3)
# Watches of one automation that end in one transaction, and counts of all that are deleted in it, at most.
ENDED_AT_ONCE, FORGOTTEN_AT_ONCE = 200, 5000


@dataclass(frozen=True, slots=True)
class Rule:
    """An automation with its trigger, parsed once for a whole batch."""

    automation: Automation
    trigger: Trigger


def event_data_of(event: Event) -> EventData:
    return EventData(event.id, event.event, event.occurred, event.resource, tuple(event.related), event.payload)


def count_all(
    rule: Rule, concerned: Iterable[EventTrigger], event_data: EventData, received: datetime, now: datetime
) -> bool:
    """Count the event for all of these triggers, or for none. Return whether the automation fired."""
    with transaction.atomic():
        fired = [_count(rule, trigger, event_data, received, now) for trigger in concerned]
        return any(fired)


def _count(rule: Rule, trigger: EventTrigger, event_data: EventData, received: datetime, now: datetime) -> bool:
    bucket = trigger.bucket(event_data)
    state = _state_of(rule, trigger.id, bucket)
    if state is not None and state.ends_at is not None and state.ends_at <= received - GRACE:
        # Usually a tick has ended it before the event arrived. Not if both are judged together, as after a burst.
        fired = _elapse(rule, trigger, state, received, now)
        return _count_in(rule, trigger, bucket, _state_of(rule, trigger.id, bucket), event_data, now) or fired
    return _count_in(rule, trigger, bucket, state, event_data, now)


def _count_in(
    rule: Rule, trigger: EventTrigger, bucket: str, state: TriggerState | None, event_data: EventData, now: datetime
) -> bool:
    before = Count(state.begun_at, state.count, state.ends_at) if state else None
    progress = advance(trigger, before, event_data)
    if progress.count is before and not progress.fired:
        # The trigger did not expect it, so it must not become the event because of which a watch fires.
        return False
    _remember(rule, trigger, bucket, state, progress, event_data)
    return progress.fired and _fire(rule, trigger.id, event_data, event_data.occurred, now)


def _state_of(rule: Rule, trigger_id: str, bucket: str) -> TriggerState | None:
    return TriggerState.objects.filter(automation=rule.automation, trigger=trigger_id, bucket=bucket[:1024]).first()


def _remember(
    rule: Rule,
    trigger: EventTrigger,
    bucket: str,
    state: TriggerState | None,
    progress: Progress,
    event_data: EventData | None,
) -> None:
    count = progress.count
    if count is None:
        if state is not None:
            state.delete()
        return
    columns: dict[str, Any] = {"count": count.count, "begun_at": count.begun_at, "ends_at": count.ends_at}
    columns["memory"] = {"event": str(event_data.id)} if event_data else {}
    # `update_or_create` would read and lock it again, with a savepoint, for each event.
    if state is not None:
        TriggerState.objects.filter(pk=state.pk).update(**columns)
    else:
        TriggerState.objects.create(automation=rule.automation, trigger=trigger.id, bucket=bucket[:1024], **columns)


def _fire(rule: Rule, trigger_id: str, event_data: EventData | None, at: datetime, now: datetime) -> bool:
    """Tell the composite trigger of this one, or queue the actions. Return whether the automation fired."""
    parent = parent_of(rule.trigger, trigger_id)
    if parent is None:
        return _set_off(rule.automation, event_data, now)
    return _combine(rule, parent, trigger_id, at) and _fire(rule, parent.id, event_data, at, now)


def _combine(rule: Rule, parent: CompositeTrigger, child_id: str, at: datetime) -> bool:
    state = _state_of(rule, parent.id, "")
    known = state.memory.get("fired", {}) if state else {}
    fired, complete = combine(
        parent, Fired({id: datetime.fromisoformat(when) for id, when in known.items()}), child_id, at
    )
    memory = {"fired": {id: when.isoformat() for id, when in fired.at.items()}}
    TriggerState.objects.update_or_create(
        automation=rule.automation,
        trigger=parent.id,
        bucket="",
        defaults={"begun_at": at, "count": len(fired.at), "memory": memory},
    )
    return complete


def _set_off(automation: Automation, event_data: EventData | None, now: datetime) -> bool:
    """Queue the actions. Return False if the automation has fired too often in the last minute."""
    event = event_fields(event_data) if event_data else None
    actions = _action_runs(automation, event, now)
    # Not the events of its firings, which clients may report as well.
    recent = ActionRun.objects.filter(automation=automation, created__gt=now - PER).exclude(error=HELD_BACK)
    if actions and recent.count() >= MOST_FIRINGS_A_MINUTE * len(actions):
        _hold_back(actions)
        return False
    record_triggered(automation, event, now)
    ActionRun.objects.bulk_create(actions)
    return True


def _hold_back(actions: Sequence[ActionRun]) -> None:
    """Record the actions as failed, once a minute: the firings that follow are held back for the same reason."""
    automation, now = actions[0].automation, actions[0].created
    if ActionRun.objects.filter(automation=automation, created__gt=now - PER, error=HELD_BACK).exists():
        return
    logger.warning("Automation %s is held back. %s", automation.name, HELD_BACK)
    for action_run in actions:
        action_run.done_at, action_run.error = now, HELD_BACK
        record_action(action_run, HELD_BACK, now)
    ActionRun.objects.bulk_create(actions)


def _action_runs(automation: Automation, event: dict[str, object] | None, now: datetime) -> list[ActionRun]:
    actions = [*automation.actions, *automation.actions_on_trigger]
    # Ids of one millisecond are not ordered, but actions run in the order of their ids.
    ids = sorted(uuid7() for _ in actions)
    return [
        ActionRun(id=id, automation=automation, created=now, action=action, event=event)
        for id, action in zip(ids, actions, strict=True)
    ]


def event_fields(event_data: EventData) -> dict[str, object]:
    return {
        "id": str(event_data.id),
        "event": event_data.event,
        "occurred": event_data.occurred.isoformat(),
        "resource": dict(event_data.resource),
        "related": [dict(one) for one in event_data.related],
        "payload": dict(event_data.payload),
    }


def begin_watches(rule: Rule) -> None:
    """Start the watches of triggers without a starting event, which begin with their automation."""
    for trigger in leaves(rule.trigger):
        if trigger.reactive or trigger.after or trigger.for_each:
            continue
        since = rule.automation.since
        TriggerState.objects.get_or_create(
            automation=rule.automation,
            trigger=trigger.id,
            bucket="[]",
            defaults={"begun_at": since, "ends_at": since + trigger.within},
        )


def forget_counts(rules: Iterable[Rule], until: datetime) -> bool:
    """Delete counts of reactive triggers whose time is over: they fire no more. Return whether none is left.

    After a burst there are very many, so they are not evaluated one by one.
    """
    reactive = [trigger.id for rule in rules for trigger in leaves(rule.trigger) if trigger.reactive]
    over = _over(until).filter(automation__in=[rule.automation.pk for rule in rules], trigger__in=reactive)
    # Look first: usually nothing is over.
    if not reactive or not over.exists():
        return True
    deleted, _ = TriggerState.objects.filter(pk__in=over.order_by("ends_at").values("pk")[:FORGOTTEN_AT_ONCE]).delete()
    return deleted < FORGOTTEN_AT_ONCE


def rules_with_ended_watches(rules: Iterable[Rule], until: datetime) -> list[Rule]:
    over = set(_over(until).values_list("automation", "trigger").distinct())
    return [rule for rule in rules if any((rule.automation.pk, id) in over for id in _watches(rule))]


def _over(until: datetime) -> QuerySet[TriggerState, TriggerState]:
    return TriggerState.objects.filter(ends_at__lte=until - GRACE)


def _watches(rule: Rule) -> dict[str, EventTrigger]:
    return {trigger.id: trigger for trigger in leaves(rule.trigger) if not trigger.reactive}


def end_watches(rule: Rule, until: datetime, now: datetime, stop_at: float) -> tuple[int, bool]:
    """Evaluate the watches whose time was over at the moment `until` which all events are counted.

    Go on until the monotonic clock shows `stop_at`, with one watch at least. Return how many fired, and whether none is
    left.
    """
    triggers = _watches(rule)
    over = _over(until).filter(automation=rule.automation, trigger__in=triggers)
    states, fired = list(over.order_by("ends_at", "pk")[:ENDED_AT_ONCE]), 0
    for number, state in enumerate(states, 1):
        fired += _elapse(rule, triggers[state.trigger], state, until, now)
        if number < len(states) and time.monotonic() > stop_at:
            return fired, False
    return fired, len(states) < ENDED_AT_ONCE


def _elapse(rule: Rule, trigger: EventTrigger, state: TriggerState, until: datetime, now: datetime) -> bool:
    assert state.ends_at is not None
    progress = elapsed(trigger, Count(state.begun_at, state.count, state.ends_at))
    if progress.count is None and not progress.fired:
        state.delete()
        return False
    event = Event.objects.filter(pk=state.memory.get("event")).first() if state.memory.get("event") else None
    event_data = event_data_of(event) if event else None
    _remember(rule, trigger, state.bucket, state, _not_behind(progress, trigger, until), event_data)
    return progress.fired and _fire(rule, trigger.id, event_data, state.ends_at, now)


def _not_behind(progress: Progress, trigger: EventTrigger, until: datetime) -> Progress:
    """Skip the periods that passed while no server was running, instead of firing once for each."""
    count = progress.count
    if count is None or count.ends_at is None or count.ends_at > until - GRACE:
        return progress
    return Progress(Count(until, 0, until + trigger.within), progress.fired)
