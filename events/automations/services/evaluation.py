"""Evaluate events: which automations fire, in the order of the events, each event once.

The evaluation locks the automations, so that two servers do not count the same things at the same time. An automation
with an error is rolled back alone: all others are evaluated before the error is raised.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import OperationalError, transaction

from events.automations.core.triggers import OF_AUTOMATIONS, leaves, read_trigger
from events.automations.services.trigger_states import (
    Rule,
    begin_watches,
    count_all,
    end_watches,
    event_data_of,
    forget_counts,
    rules_with_ended_watches,
)
from events.models import Automation, Event
from orchestration.transactions import write_transaction

# The most events of one transaction, and the time after which it judges no more: on SQLite it holds up every writer.
BATCH, BATCH_SECONDS = 100, 0.1
# Seconds until other services of the thread get their turn.
TICK_SECONDS = 1.0


class JudgingFailed(Exception):
    """The evaluation of some automations failed. The message names each with its first error."""


@dataclass(frozen=True, slots=True)
class Troubles:
    """The first error of each automation that failed."""

    first: dict[UUID, tuple[str, Exception]] = field(default_factory=dict)

    @contextmanager
    def kept_apart(self, automation: Automation) -> Iterator[None]:
        """Keep the first error that is raised inside. The caller rolls the work back by its own savepoint."""
        try:
            yield
        except OperationalError:
            # The database cannot be reached, or wants the transaction repeated: not an error of the automation.
            raise
        except Exception as problem:
            self.first.setdefault(automation.pk, (automation.name, problem))

    def raise_any(self) -> None:
        """Raise JudgingFailed if there are any errors."""
        if not self.first:
            return
        described = [f"{name!r} ({id}): {type(why).__name__}: {why}" for id, (name, why) in self.first.items()]
        _, cause = next(iter(self.first.values()))
        raise JudgingFailed(f"Automations that cannot be judged: {'; '.join(described)}.") from cause


def judge_events(now: datetime) -> int:
    """Evaluate pending events, and watches whose time is over, for at most TICK_SECONDS and a batch of each.

    Watches wait for the events that may have occurred in their time. Return how many automations fired. Raises
    JudgingFailed, after everything else was evaluated.
    """
    # Check without a lock first: on SQLite a transaction blocks every writer, and usually there is nothing to do.
    if not (Automation.objects.filter(enabled=True).exists() or Event.objects.filter(pending=True).exists()):
        return 0
    stop_at, is_cut_off = time.monotonic() + TICK_SECONDS, False
    fired, troubles = 0, Troubles()
    while not is_cut_off and (batch := _judge_batch(now, troubles)) is not None:
        fired += batch
        is_cut_off = time.monotonic() > stop_at
    judged_until, is_done = _judged_until(now) if is_cut_off else now, False
    while not is_done:
        batch, is_done = _judge_watches(judged_until, now, troubles)
        fired += batch
        is_done |= time.monotonic() > stop_at
    troubles.raise_any()
    return fired


def _judge_batch(now: datetime, troubles: Troubles) -> int | None:
    with write_transaction():
        held = _held()
        if not held:
            # An automation that is made later begins with later events.
            Event.objects.filter(pending=True).update(pending=False)
            return None
        waiting = Event.objects.filter(pending=True).order_by("received", "id")
        events = list(waiting.select_for_update()[:BATCH])
        if not events:
            return None
        rules = _rules(held, troubles)
        stop_at, fired, judged = time.monotonic() + BATCH_SECONDS, 0, list[UUID]()
        for event in events:
            fired += sum(_judge(rule, event, now, troubles) for rule in rules)
            judged.append(event.pk)
            if time.monotonic() > stop_at:
                break
        Event.objects.filter(pk__in=judged).update(pending=False)
        return fired


def _judged_until(now: datetime) -> datetime:
    """Return the moment until which all events that arrived were judged."""
    oldest = Event.objects.filter(pending=True).order_by("received", "id").values_list("received", flat=True).first()
    return now if oldest is None else min(oldest, now)


def _held() -> list[Automation]:
    return list(Automation.objects.select_for_update(no_key=True).filter(enabled=True).order_by("pk"))


def _rules(held: Iterable[Automation], troubles: Troubles) -> list[Rule]:
    rules = []
    for automation in held:
        with troubles.kept_apart(automation):
            rules.append(Rule(automation, read_trigger(automation.trigger)))
    return rules


def _judge(rule: Rule, event: Event, now: datetime, troubles: Troubles) -> bool:
    if event.received < rule.automation.since:
        return False
    # What an automation did must not make it act again.
    if event.resource_id == f"prefect.automation.{rule.automation.pk}":
        return False
    with troubles.kept_apart(rule.automation):
        event_data = event_data_of(event)
        concerned = [
            trigger
            for trigger in leaves(rule.trigger)
            if trigger.concerns(event_data) and (not _is_of_automations(event) or trigger.waits_for_automations())
        ]
        return bool(concerned) and count_all(rule, concerned, event_data, event.received, now)
    return False


def _is_of_automations(event: Event) -> bool:
    return event.event.startswith(OF_AUTOMATIONS)


def _judge_watches(judged_until: datetime, now: datetime, troubles: Troubles) -> tuple[int, bool]:
    """Fire the proactive triggers whose events did not occur in time, as far as all events are judged.

    Return how many automations fired, and whether no time is left that is over. The automations share the time, because
    watches of one of them may end by the thousands; each has at least one turn.
    """
    with write_transaction():
        rules = _rules(_held(), troubles)
        for rule in rules:
            with troubles.kept_apart(rule.automation), transaction.atomic():
                begin_watches(rule)
        is_done, fired = forget_counts(rules, judged_until), 0
        late = rules_with_ended_watches(rules, judged_until)
        for rule in late:
            stop_at = time.monotonic() + BATCH_SECONDS / len(late)
            with troubles.kept_apart(rule.automation), transaction.atomic():
                ended, is_last = end_watches(rule, judged_until, now, stop_at)
                fired += ended
                is_done &= is_last
    return fired, is_done
