"""Triggers: the events that they expect, their progress, and when they fire. A state is all that is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from events.automations.core.matching import EventData, Patterns, covers, covers_any, is_named

OF_AUTOMATIONS = "prefect.automation."


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """Fires when enough of the expected events occur (reactive), or too few in time (proactive)."""

    id: str
    reactive: bool
    match: Patterns
    match_related: Patterns
    after: frozenset[str]
    expect: frozenset[str]
    for_each: tuple[str, ...]
    threshold: int
    within: timedelta

    def concerns(self, event_data: EventData) -> bool:
        return covers(self.match, event_data.resource) and covers_any(self.match_related, event_data.related)

    def waits_for_automations(self) -> bool:
        """Whether it expects events of automations by name. Otherwise, automations would trigger each other forever."""
        return any(name.startswith(OF_AUTOMATIONS) for name in self.expect | self.after)

    def expects(self, event: str) -> bool:
        return not self.expect or is_named(self.expect, event)

    def bucket(self, event_data: EventData) -> str:
        return json.dumps([event_data.label(label) for label in self.for_each])


@dataclass(frozen=True, slots=True)
class CompositeTrigger:
    """Fires when enough of its triggers fire within a time. A sequence needs all of them, in order."""

    id: str
    kind: Literal["compound", "sequence"]
    triggers: tuple[Trigger, ...]
    require: int
    within: timedelta | None


Trigger = EventTrigger | CompositeTrigger


@dataclass(frozen=True, slots=True)
class Count:
    """The progress of an event trigger in one bucket."""

    begun_at: datetime
    count: int = 0
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The result of a step: the new count, if there is one to store, and whether the trigger fired."""

    count: Count | None
    fired: bool = False


def read_trigger(given: Mapping[str, Any]) -> Trigger:
    """Return the trigger of an automation, which the API has validated and stored."""
    if given["type"] != "event":
        triggers = tuple(read_trigger(one) for one in given["triggers"])
        within = timedelta(seconds=given["within"]) if given.get("within") is not None else None
        return CompositeTrigger(given["id"], given["type"], triggers, _required(given, len(triggers)), within)
    return EventTrigger(
        id=given["id"],
        reactive=given["posture"] == "Reactive",
        match=_patterns(given["match"]),
        match_related=_patterns(given["match_related"]),
        after=frozenset(given["after"]),
        expect=frozenset(given["expect"]),
        for_each=tuple(sorted(given["for_each"])),
        threshold=given["threshold"],
        within=timedelta(seconds=given["within"]),
    )


def _required(given: Mapping[str, Any], every: int) -> int:
    if given["type"] == "sequence" or given["require"] == "all":
        return every
    return 1 if given["require"] == "any" else int(given["require"])


def _patterns(labels: Mapping[str, str | list[str]]) -> Patterns:
    return {label: [value] if isinstance(value, str) else value for label, value in labels.items()}


def leaves(trigger: Trigger) -> Iterator[EventTrigger]:
    match trigger:
        case EventTrigger():
            yield trigger
        case CompositeTrigger():
            for one in trigger.triggers:
                yield from leaves(one)


def parent_of(root: Trigger, child_id: str) -> CompositeTrigger | None:
    """Return the composite trigger that directly contains this one; None for the root itself."""
    if isinstance(root, EventTrigger):
        return None
    if any(one.id == child_id for one in root.triggers):
        return root
    return next((found for one in root.triggers if (found := parent_of(one, child_id))), None)


def advance(trigger: EventTrigger, count: Count | None, event_data: EventData) -> Progress:
    """Count an event that concerns the trigger, in the event's bucket."""
    if trigger.after and is_named(trigger.after, event_data.event):
        # Restart the wait: if several starting events occur, the last one counts.
        return Progress(_started(trigger, event_data.occurred))
    if not trigger.expects(event_data.event):
        return Progress(count)
    return _reacted(trigger, count, event_data) if trigger.reactive else _watched(trigger, count, event_data)


def _started(trigger: EventTrigger, at: datetime, count: int = 0) -> Count:
    watching = bool(trigger.within) or not trigger.reactive
    return Count(at, count, at + trigger.within if watching else None)


def _reacted(trigger: EventTrigger, count: Count | None, event_data: EventData) -> Progress:
    if count is None or _is_over(count, event_data.occurred):
        if trigger.after:
            return Progress(None)
        count = _started(trigger, event_data.occurred)
    counted = replace(count, count=count.count + 1)
    return Progress(None, fired=True) if counted.count >= trigger.threshold else Progress(counted)


def _watched(trigger: EventTrigger, count: Count | None, event_data: EventData) -> Progress:
    if count is None:
        # With `after`, nothing has started the wait yet. Without it, the first event of a bucket starts the first
        # watch.
        return Progress(None if trigger.after else _started(trigger, event_data.occurred))
    counted = replace(count, count=count.count + 1)
    if counted.count < trigger.threshold:
        return Progress(counted)
    return Progress(None if trigger.after else _started(trigger, event_data.occurred))


def elapsed(trigger: EventTrigger, count: Count) -> Progress:
    """Close a count whose time is over. A watch fires if too few events occurred, and may start again."""
    if trigger.reactive:
        return Progress(None)
    assert count.ends_at is not None
    again = None if trigger.after else _started(trigger, count.ends_at)
    return Progress(again, fired=count.count < trigger.threshold)


def _is_over(count: Count, at: datetime) -> bool:
    return count.ends_at is not None and at > count.ends_at


@dataclass(frozen=True, slots=True)
class Fired:
    """Which triggers of a composite one have fired, and when."""

    at: Mapping[str, datetime] = field(default_factory=dict)


def combine(trigger: CompositeTrigger, fired: Fired, child_id: str, at: datetime) -> tuple[Fired, bool]:
    """Add a child that fired. Return the state to store, and whether the composite trigger fires, too."""
    recent = {id: when for id, when in fired.at.items() if trigger.within is None or at - when <= trigger.within}
    recent[child_id] = at
    if not _is_ready(trigger, recent):
        return Fired(recent), False
    return Fired(), True


def _is_ready(trigger: CompositeTrigger, at: Mapping[str, datetime]) -> bool:
    if len(at) < trigger.require:
        return False
    order = [one.id for one in trigger.triggers]
    return trigger.kind == "compound" or sorted(order, key=lambda id: at[id]) == order
