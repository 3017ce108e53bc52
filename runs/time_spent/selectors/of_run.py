"""How the time of one flow run was spent, from its states, its task runs and the runs that held what it waited for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from deployments.models import ConcurrencyLimit
from orionflow.contract.names import quoted
from orionflow.contract.states import EXECUTING, TERMINAL, StateType
from runs.models import FlowRun, FlowRunState, TaskRun
from runs.states.selectors import FOLDED, passages_of_task_runs
from runs.time_spent.core.stretches import (
    LIMIT,
    RETRY,
    Held,
    Passage,
    Share,
    Stretch,
    begin_of,
    merged,
    shares,
    stretches,
)
from runs.time_spent.selectors.holding import Window, held_up, limits_on, overlap_of

STATES_READ = 1_000
TASKS_READ = 10_000
# Of task runs with several attempts, at most this many are split into attempts and waits; and the most states read.
TRIED_AGAIN, STATES_OF_TASKS_READ = 500, 4_000
# Shorter waits are the time of a request to the server.
SHORTEST_WAIT = timedelta(milliseconds=200)


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """The time of a run since it was due, as stretches and as sums; up to now if it has not ended."""

    run: FlowRun
    begin: datetime | None
    end: datetime | None
    stretches: Sequence[Stretch]
    shares: Sequence[Share]
    is_over: bool
    is_cut: bool = False

    @property
    def lasted(self) -> timedelta:
        return self.end - self.begin if self.end and self.begin else timedelta()


def time_of_run(*, run_id: UUID, now: datetime) -> TimeSpent | None:
    """Return how the time of a flow run was spent; None if it does not exist. Nine queries at most."""
    run = FlowRun.objects.select_related("flow").filter(pk=run_id).first()
    if run is None:
        return None
    passages = passages_of(FlowRunState.objects.filter(flow_run=run.id))
    if not passages:
        return TimeSpent(run, None, None, (), (), False)
    is_over = run.state_type in TERMINAL
    until = passages[-1].at if is_over else now
    begin = begin_of(run.expected_start_time, passages)
    tasks = list(TaskRun.objects.filter(flow_run=run.id).order_by("created", "id").values(*TASK)[:TASKS_READ])
    times, waits = _of_tasks(tasks, now)
    found = stretches(
        due=run.expected_start_time,
        passages=passages,
        until=until,
        working=merged(times) if tasks else None,
        held=held_up(run, limits_on(run), _waiting(passages, StateType.SCHEDULED, begin, until), now),
        held_starts=held_up(run, overlap_of(run), _waiting(passages, StateType.PENDING, begin, until), now),
        held_tasks=[*waits, *_waits_for_slots(tasks, now)],
    )
    is_cut = len(passages) == STATES_READ or len(tasks) == TASKS_READ
    return TimeSpent(run, begin, max(until, begin), found, shares(found), is_over, is_cut)


TASK = (
    *("id", "state_type", "run_count", "tags", *FOLDED),
    *("expected_start_time", "created", "start_time", "end_time", "state_timestamp"),
)


def passages_of(states: Any) -> list[Passage]:
    rows = states.order_by("seq").values_list("type", "name", "timestamp", "details")[:STATES_READ]
    return [passage(*row) for row in rows]


def passage(kind: str, name: str, at: datetime, details: dict[str, Any]) -> Passage:
    scheduled = details.get("scheduled_time")
    return Passage(StateType(kind), name, at, datetime.fromisoformat(scheduled) if scheduled else None)


def _waiting(passages: Sequence[Passage], kind: StateType, begin: datetime, until: datetime) -> Window | None:
    """Return the period from the first to the last wait in states of this type; None if there was none."""
    places = [place for place, one in enumerate(passages) if one.type is kind]
    if not places:
        return None
    after = places[-1] + 1
    window = max(passages[places[0]].at, begin), min(passages[after].at if after < len(passages) else until, until)
    return window if window[1] > window[0] else None


def _of_tasks(tasks: Collection[dict[str, Any]], now: datetime) -> tuple[list[tuple[datetime, datetime]], list[Held]]:
    """Return when task runs ran, and when they waited for their next attempt."""
    tried_again = [task["id"] for task in tasks if task["run_count"] > 1][:TRIED_AGAIN]
    apart = set(tried_again)
    times = [
        (task["start_time"], _end_of(task, now)) for task in tasks if task["start_time"] and task["id"] not in apart
    ]
    waits: list[Held] = []
    if tried_again:
        runs = [TaskRun(**{name: task[name] for name in ("id", *FOLDED)}) for task in tasks if task["id"] in apart]
        history = passages_of_task_runs(runs, STATES_OF_TASKS_READ)
        for task in tasks:
            for place, (kind, at) in enumerate(history.get(task["id"], ())):
                following = history[task["id"]][place + 1 : place + 2]
                until = following[0][1] if following else at if kind in TERMINAL else now
                if kind in EXECUTING:
                    times.append((at, until))
                elif kind == StateType.SCHEDULED:
                    waits.append(Held(RETRY, at, until))
    return times, waits


def _end_of(task: dict[str, Any], now: datetime) -> datetime:
    end: datetime = task["end_time"] or (now if task["state_type"] in EXECUTING else task["state_timestamp"])
    return end


def _waits_for_slots(tasks: Sequence[dict[str, Any]], now: datetime) -> Iterator[Held]:
    """Yield the times between creation and start of task runs with a limited tag. One query, none without tags."""
    tags = {tag for task in tasks for tag in task["tags"]}
    limited = (
        set(ConcurrencyLimit.objects.filter(tag__in=sorted(tags)[:1000]).values_list("tag", flat=True)) if tags else ()
    )
    if not limited:
        return
    for task in tasks:
        tag = next((one for one in task["tags"] if one in limited), None)
        if tag is None:
            continue
        began = task["expected_start_time"] or task["created"]
        started = task["start_time"] or (task["state_timestamp"] if task["state_type"] in TERMINAL else now)
        if started - began >= SHORTEST_WAIT:
            yield Held(LIMIT, began, started, f"tag {quoted(tag)}")
