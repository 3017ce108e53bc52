"""Changes that other processes recorded in the same database: flows without a server, other servers, services.

States and log lines are only added, and their ids ascend with time. So they need no announcement: the follower reads
the rows after the last one that it saw. Tables whose rows are updated are compared as a whole, less often.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from django.db import connection
from django.db.models import Aggregate, BigIntegerField, Count, Max, Model, QuerySet, Value
from django.db.models.expressions import RawSQL

from deployments.models import (
    ConcurrencyLimit,
    Deployment,
    GlobalLimit,
    GlobalSlot,
    Schedule,
    ServiceRecord,
    Slot,
    Worker,
    WorkPool,
    WorkQueue,
)
from events.models import ActionRun, Automation, Event, Notification, NotificationPolicy
from orchestration.compiled import Compiled, Statement
from orchestration.tables import dialect
from orion_site.live.changes import Changed
from runs.models import BulkAction, FlowRun, FlowRunState, Log, Problem, TaskRun, TaskRunState
from runs.querysets import Literal as LiteralValue

# Rows may be committed this long after their ids were created.
OVERLAP = timedelta(seconds=10)
# The most new rows that are named one by one, and the most rows of the last ten seconds that are read to find them.
MOST_ROWS, MOST_READ = 5_000, 30_000
# Within this time after this process announced a change of a run, a new row of the run counts as that change.
ANNOUNCED_SECONDS = 2.0
# The most relations in memory: a task run's flow run, and a flow run's flow and deployment never change.
MOST_RELATIONS = 20_000


# "tasks" and "lines": the topics that change with task runs, and with log lines; "runs": all others.
Family = Literal["runs", "tasks", "lines"]


@dataclass(frozen=True, slots=True)
class Compared:
    """A table, and the values that differ after a change: the maximum of a column, and usually the number of rows."""

    rows: QuerySet[Any]
    column: str
    is_counted: bool = True

    def read(self) -> tuple[Any, ...]:
        wanted: dict[str, Aggregate] = {"last": Max(self.column)}
        if self.is_counted:
            wanted["number"] = Count("pk")
        return tuple(self.rows.order_by().aggregate(**wanted).values())


def _of(model: type[Model], column: str) -> Compared:
    return Compared(model._default_manager.all(), column)


def _added_to(model: type[Model], column: str) -> Compared:
    """Return a comparison for a large table, whose new rows are found at the end of an index, without counting."""
    return Compared(model._default_manager.all(), column, is_counted=False)


_UNSENT = Notification.objects.filter(standing=LiteralValue("WAITING"))
_TO_DO = ActionRun.objects.filter(done_at__isnull=True)
# Topic: its comparisons. A change that they do not show is seen with the next complete refresh.
COMPARED: dict[str, tuple[Compared, ...]] = {
    "agents": (_of(Worker, "updated"), _of(Worker, "last_heartbeat")),
    "work": (_of(WorkPool, "updated"), _of(WorkQueue, "updated")),
    "deployments": (_of(Deployment, "updated"), _of(Schedule, "updated")),
    "limits": (
        _of(ConcurrencyLimit, "updated"),
        _of(GlobalLimit, "updated"),
        _of(Slot, "pk"),
        _of(GlobalSlot, "pk"),
    ),
    "bulk-actions": (_of(BulkAction, "updated"),),
    "problems": (_of(Problem, "updated"),),
    "services": (_of(ServiceRecord, "last_tick"),),
    "events": (_added_to(Event, "received"), Compared(Event.objects.filter(pending=True), "received")),
    "automations": (
        _of(Automation, "updated"),
        _added_to(ActionRun, "created"),
        Compared(_TO_DO, "created"),
    ),
    "notifications": (
        _of(NotificationPolicy, "updated"),
        _added_to(Notification, "created"),
        Compared(_UNSENT, "due_at"),
    ),
}


class Added:
    """Finds the owners of rows that were added to a table since the last call."""

    def __init__(self, model: type[Model], owners: Sequence[str], since: datetime) -> None:
        self._model = model
        self._owners = owners
        self._since = since
        # Ids as the database returns them. Most rows were read before, and only the others need UUIDs.
        self._seen: set[Any] = set()
        self._last: tuple[int, UUID] | None = None
        self._from = Compiled(self._of_ids_from)

    def read(self, now: datetime) -> list[tuple[UUID | None, ...]] | None:
        """Return the owners; None if there are too many, or if SQLite gave numbers of deleted rows to new ones."""
        if connection.vendor == "sqlite" and self._last is not None:
            return self._by_number(*self._last)
        return self._by_id(now)

    def _by_number(self, number: int, row_id: UUID) -> list[tuple[UUID | None, ...]] | None:
        # SQLite has one writer at a time, so rows become visible in the order of their numbers.
        rows = list(self._numbered().filter(number__gte=number).order_by("number")[: MOST_ROWS + 1])
        if not rows or rows[0][:2] != (number, row_id) or len(rows) > MOST_ROWS:
            self._last = None
            self._since = datetime.now(tz=self._since.tzinfo)
            return None
        self._last = rows[-1][:2]
        return [row[2:] for row in rows[1:]]

    def _by_id(self, now: datetime) -> list[tuple[UUID | None, ...]] | None:
        if connection.vendor == "sqlite":
            # Before the query, so that rows committed meanwhile are read twice rather than missed.
            self._last = next(iter(self._numbered().order_by("-number").values_list("number", "pk")[:1]), None)
        rows = _fetched(self._from.statement(_first_id_at(self._since - OVERLAP), MOST_READ + 1))
        fresh = [row[1:] for row in rows if row[0] not in self._seen]
        self._seen, self._since = {row[0] for row in rows}, now
        if len(rows) > MOST_READ or len(fresh) > MOST_ROWS:
            return None
        read = dialect().read_uuid
        return [tuple(None if one is None else read(one) for one in row) for row in fresh]

    def _of_ids_from(self, first: UUID, most: int) -> QuerySet[Any, Any]:
        ids = self._model._default_manager.filter(pk__gte=first).order_by("pk")
        return ids.values_list("pk", *self._owners)[:most]

    def _numbered(self) -> Any:
        number = RawSQL(f'"{self._model._meta.db_table}"."rowid"', [], output_field=BigIntegerField())  # noqa: S611 (our own table)
        return self._model._default_manager.annotate(number=number).values_list("number", "pk", *self._owners)


def _first_id_at(moment: datetime) -> UUID:
    """Return the lowest id of version 7 in that millisecond."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (0x7 << 76) | (0x2 << 62))


def _fetched(statement: Statement) -> list[tuple[Any, ...]]:
    """Return the rows without the conversions of the ORM, which take twenty times as long as the query."""
    with connection.cursor() as cursor:
        cursor.execute(*statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _moved_since(first: UUID, since: datetime, most: int) -> QuerySet[Any, Any]:
    new, *timed = (
        TaskRun.objects.order_by().filter(**condition).values_list(Value(what), "pk")
        for what, condition in (
            ("new", {"pk__gte": first}),
            ("started", {"start_time__gte": since}),
            ("ended", {"end_time__gte": since}),
        )
    )
    return new.union(*timed, all=True)[:most]


_MOVED = Compiled(_moved_since)


# For a few runs every 30 ms, so these queries are built once.
_RELATED: dict[str, Compiled[tuple[Any, ...]]] = {
    "flow-run": Compiled(
        lambda ids: FlowRun.objects.filter(pk__in=ids).order_by().values_list("pk", "flow_id", "deployment_id")
    ),
    "task-run": Compiled(lambda ids: TaskRun.objects.filter(pk__in=ids).order_by().values_list("pk", "flow_run_id")),
}


class TaskRunsMoved:
    """Finds task runs that entered states since the last call, by new rows of states and by their times.

    Usual states have no rows; a run that enters one is new, starts, or ends.
    """

    def __init__(self, since: datetime) -> None:
        self._states = Added(TaskRunState, ["task_run_id"], since)
        self._since = since
        self._seen: set[tuple[Any, ...]] = set()

    def read(self, now: datetime) -> list[tuple[UUID | None, ...]] | None:
        """Return the task runs; None if there are too many."""
        with_rows, moved = self._states.read(now), self._moved(now)
        return None if with_rows is None or moved is None else [*with_rows, *moved]

    def _moved(self, now: datetime) -> list[tuple[UUID | None, ...]] | None:
        since = self._since - OVERLAP
        rows = set(_fetched(_MOVED.statement(_first_id_at(since), since, MOST_READ + 1)))
        seen, self._seen, self._since = self._seen, rows, now
        fresh = {run_id for _, run_id in rows - seen}
        if len(rows) > MOST_READ or len(fresh) > MOST_ROWS:
            return None
        read = dialect().read_uuid
        return [(read(run_id),) for run_id in fresh]


class Follower:
    """Reads new rows of the tables that the shown topics need."""

    def __init__(self, since: datetime) -> None:
        self._flow_runs = Added(FlowRunState, ["flow_run_id"], since)
        self._task_runs = TaskRunsMoved(since)
        self._lines = Added(Log, ["flow_run_id", "task_run_id"], since)
        self._compared: dict[str, tuple[Any, ...]] = {}
        self._relations: OrderedDict[Changed, tuple[UUID | None, ...]] = OrderedDict()
        self._announced: dict[Changed, float] = {}
        self._repeated: set[Changed] = set()
        # The event loop uses it as well as a thread.
        self._lock = threading.Lock()

    def read(self, now: datetime) -> tuple[list[Changed], set[str], set[Family]]:
        """Return the changed runs, the topics of new log lines, and the families with too many changes to read.

        Changes that this process announced are left to `take_repeated`.
        """
        of_flow_runs, of_task_runs, of_lines = (
            one.read(now) for one in (self._flow_runs, self._task_runs, self._lines)
        )
        changed: list[Changed] = [("flow-run", one) for (one,) in of_flow_runs or () if one]
        changed += [("task-run", one) for (one,) in of_task_runs or () if one]
        topics = {f"run:{run}:log" for run, _ in of_lines or () if run}
        topics |= {f"task:{task}:log" for _, task in of_lines or () if task}
        since = time.monotonic() - ANNOUNCED_SECONDS
        with self._lock:
            self._announced = {one: at for one, at in self._announced.items() if at > since}
            self._repeated |= self._announced.keys() & set(changed)
            changed = [one for one in changed if one not in self._announced]
        found: dict[Family, object] = {"runs": of_flow_runs, "tasks": of_task_runs, "lines": of_lines}
        return changed, topics, {family for family, rows in found.items() if rows is None}

    def compare(self, topics: Collection[str]) -> set[str]:
        """Return those of the topics whose tables have changed since the last call.

        The first call returns all topics, because changes since a page was read are unknown.
        """
        differ = set()
        for topic in topics:
            found = tuple(one.read() for one in COMPARED[topic])
            if self._compared.get(topic) != found:
                differ.add(topic)
            self._compared[topic] = found
        return differ

    def take_repeated(self) -> set[Changed]:
        """Return the runs with new rows right after their announcement, which most likely belong to it."""
        with self._lock:
            repeated, self._repeated = self._repeated, set()
        return repeated

    def known_topics(self, announced: Collection[Changed]) -> tuple[set[str], list[Changed]]:
        """Return the topics of announced changes, and the runs whose relations must be read first."""
        with self._lock:
            self._announced.update(dict.fromkeys(announced, time.monotonic()))
            known = {one: self._relations.get(one, ()) for one in announced}
        unknown = [one for one, related in known.items() if not related and one[0] != "agent"]
        topics: set[str] = set()
        for one, related in known.items():
            if related or one[0] == "agent":
                topics |= _topics(*one, related)
        return topics, unknown

    def topics_of(self, changed: Iterable[Changed]) -> set[str]:
        """Return all topics that concern these runs and agents."""
        topics: set[str] = set()
        changed = list(changed)
        self._look_up("flow-run", [one for kind, one in changed if kind == "flow-run"])
        self._look_up("task-run", [one for kind, one in changed if kind == "task-run"])
        for one in changed:
            topics |= _topics(*one, self._relations.get(one, ()))
        # Only now: all of them were needed together.
        with self._lock:
            while len(self._relations) > MOST_RELATIONS:
                self._relations.popitem(last=False)
        return topics

    def _look_up(self, kind: str, ids: list[UUID]) -> None:
        unknown = [one for one in dict.fromkeys(ids) if (kind, one) not in self._relations]
        for start in range(0, len(unknown), 500):
            part = unknown[start : start + 500]
            found = {(kind, row[0]): row[1:] for row in _RELATED[kind](part)}
            with self._lock:
                self._relations.update(found)


def family_of(topic: str) -> Family:
    """Return the family of a topic: what may have changed too often for its topics to be named one by one."""
    if topic.endswith(":log"):
        return "lines"
    if topic in {"task-runs", "limits"} or topic.startswith("task:") or topic.endswith(":tasks"):
        return "tasks"
    return "runs"


def _topics(kind: str, one: UUID, related: tuple[UUID | None, ...]) -> set[str]:
    """Return all topics that concern a run with these relations."""
    if kind == "flow-run":
        flow, deployment = related or (None, None)
        # Steps that another process reported late are not found by their times.
        steps = f"run:{one}:tasks"
        return {f"run:{one}", steps, "runs", "work", "home", f"flow:{flow}", f"deployment:{deployment}"}
    if kind == "task-run":
        return {f"task:{one}", "task-runs", "limits"} | {f"run:{flow_run}:tasks" for flow_run in related}
    if kind == "agent":
        return {f"agent:{one}", "agents"}
    return set()
