"""Past states of flow runs and past events, for dry runs: the newest ones, and how far back they go.

Each read is bounded, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Generic, TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet

from events.automations.core.matching import EventData
from events.models import Event
from events.recording.outbox import Related, event_of_change
from orchestration.core.states import State, StateType
from orionflow.contract.ids import first_id_at
from runs.models import FlowRun, FlowRunState

OF_RUNS = "prefect.flow-run."
# The newest rows among which is searched, by an index, and those of them that are read.
LOOKED_AT = 50_000
MOST_READ = 10_000
# Events of so many names are found by an index of names.
MOST_NAMES = 8
# Ids have the time of the process that made them.
CLOCKS_DIFFER = timedelta(minutes=1)
_OF_STATES = ("pk", "flow_run_id", "type", "name", "message", "timestamp")
_OF_EVENTS = ("received", "id", "event", "occurred", "resource", "related")
_OF_RUNS = ("name", "tags", "run_count", "deployment_id", "work_queue_id", "flow__name")

T = TypeVar("T")
Arrival = tuple[datetime, EventData]


@dataclass(frozen=True, slots=True)
class Past(Generic[T]):
    """Rows of a span, oldest first. `since` is where they begin: later than asked if there were too many."""

    rows: Sequence[T]
    since: datetime
    is_cut: bool = False


def past_changes(*, since: datetime, until: datetime, entered: Q) -> Past[tuple[FlowRun, State]]:
    """Return flow runs with the states that they entered, of those that meet the condition. Three queries."""
    states = FlowRunState.objects.filter(pk__gte=first_id_at(since - CLOCKS_DIFFER)).order_by("-pk")
    # Only ids are read at first, from the index. They ascend with time.
    end = next(iter(states.values_list("pk", flat=True)[LOOKED_AT : LOOKED_AT + 1]), None)
    if end is not None:
        states = states.filter(pk__gt=end)
        since = max(since, _moment_of(end))
    rows = list(states.filter(entered).values_list(*_OF_STATES)[: MOST_READ + 1])
    is_cut = end is not None
    if len(rows) > MOST_READ:
        since, is_cut = max(since, rows[MOST_READ][-1]), True
    runs = FlowRun.objects.select_related("flow").only(*_OF_RUNS).in_bulk({row[1] for row in rows})
    changes = [
        (runs[run_id], State(type=StateType(kind), name=name, message=message, timestamp=at, id=pk))
        for pk, run_id, kind, name, message, at in reversed(rows)
        if run_id in runs and since <= at <= until
    ]
    return Past(changes, since, is_cut)


def past_arrivals(*, since: datetime, until: datetime, names: Iterable[str]) -> Past[Arrival]:
    """Return events with the times of their arrival, in this order: those of these names, which may end with `*`.

    Those of flow runs are made from the states of the runs, because they are recorded only while an automation is
    enabled. Without names, return every event.
    """
    wanted = list(names)
    of_runs = [name for name in wanted if _may_be_of_runs(name)]
    others = [name for name in wanted if not name.startswith(OF_RUNS)]
    parts = []
    if of_runs or not wanted:
        parts.append(_arrivals_of_runs(since, until, of_runs))
    if others or not wanted:
        parts.append(_recorded(since, until, others))
    begin = max((part.since for part in parts), default=since)
    rows = [row for part in parts for row in part.rows if row[0] >= begin]
    rows.sort(key=lambda row: (row[0], row[1].id))
    return Past(rows, begin, any(part.is_cut for part in parts))


def _may_be_of_runs(name: str) -> bool:
    prefix = name.removesuffix("*")
    return name.startswith(("!", OF_RUNS)) or (name.endswith("*") and OF_RUNS.startswith(prefix))


def _arrivals_of_runs(since: datetime, until: datetime, names: Sequence[str]) -> Past[Arrival]:
    exact = [name.removeprefix(OF_RUNS) for name in names if not name.startswith("!") and not name.endswith("*")]
    entered = Q(name__in=exact) if exact and len(exact) == len(names) else Q()
    found = past_changes(since=since, until=until, entered=entered)
    related = Related(list({run.pk: run for run, _ in found.rows}.values()))
    rows = []
    for run, state in found.rows:
        assert state.timestamp is not None
        assert state.id is not None
        event = event_of_change(run, None, state, related.to(run), state.timestamp)
        # The id of the state, because states that are entered in one moment have an order.
        data = EventData(state.id, event.event, event.occurred, event.resource, tuple(event.related), event.payload)
        rows.append((state.timestamp, data))
    return Past(rows, found.since, found.is_cut)


def _recorded(since: datetime, until: datetime, names: Sequence[str]) -> Past[Arrival]:
    events = Event.objects.filter(occurred__gte=since, occurred__lte=until)
    if names and len(names) <= MOST_NAMES and not any(_is_pattern(name) for name in names):
        share = MOST_READ // len(names)
        ends = [_end(events.filter(event=name), share) for name in names]
        found = events.filter(event__in=names)
    else:
        ends = [_end(events, LOOKED_AT)]
        found = events.exclude(event__startswith=OF_RUNS)
        if names and not any(name.startswith("!") for name in names):
            found = found.filter(reduce(or_, (_named(name) for name in names)))
    end = max((one for one in ends if one is not None), default=None)
    if end is not None:
        found = found.filter(occurred__gt=end)
    rows = list(found.order_by("-occurred", "-id").values_list(*_OF_EVENTS)[: MOST_READ + 1])
    begin = max(since, end) if end else since
    if len(rows) > MOST_READ:
        begin = max(begin, rows[MOST_READ][3])
    arrivals = [
        (received, EventData(id, event, occurred, resource, tuple(related)))
        for received, id, event, occurred, resource, related in rows[:MOST_READ]
    ]
    return Past(arrivals, begin, end is not None or len(rows) > MOST_READ)


def _is_pattern(name: str) -> bool:
    return name.startswith("!") or name.endswith("*")


def _named(name: str) -> Q:
    return Q(event__startswith=name[:-1]) if name.endswith("*") else Q(event=name)


def _end(events: QuerySet[Event], most: int) -> datetime | None:
    """Return the time of the newest event that is one too many. Only the index is read."""
    return next(iter(events.order_by("-occurred").values_list("occurred", flat=True)[most : most + 1]), None)


def _moment_of(id: UUID) -> datetime:
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
