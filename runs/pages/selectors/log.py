"""The log of a run: by keyset from either side, around one line, and narrowed by level, task and words.

A search looks at a bounded number of lines and then says how far it came, so a log of a million lines answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, F, OuterRef, QuerySet, Subquery, TextField, When
from django.db.models.functions import Coalesce, Left, Length

from orionflow.contract.kinds import GAP_LOGGER
from runs.models import Log, TaskRun
from runs.pages.selectors.keyset import Count, Cursor, capped_count, in_order

LINES_PER_PAGE = 500
LINES_BESIDE = 100
# So many lines stand above the one that a page is about.
CONTEXT = 10
SEARCHED = 30_000
# A line of 64 KiB is not for reading; its own address shows the whole of it.
LONGEST_LINE = 2_000
ERRORS_COUNTED = 1_000
LINES_PER_CHUNK = 2_000
WARNING, ERROR = 30, 40
# The first line of a task that was mapped is looked for among those of so many of its runs.
RUNS_LOOKED_AT = 100
# In the choice of tasks: lines that no task wrote.
FLOW_ITSELF = "-"
FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class LogWish:
    """Which lines are asked for: from a level on, of a task (its key, the id of one run, or "-"), with these words."""

    level: int = 0
    task: str = ""
    words: str = ""

    @property
    def task_run_id(self) -> UUID | None:
        try:
            return UUID(self.task)
        except ValueError:
            return None

    @property
    def searches(self) -> bool:
        """Whether lines are looked at that are not shown: indexes have the warnings, and the lines of one task run."""
        return bool(self.words or (self.task and not self.task_run_id) or 0 < self.level < WARNING)


@dataclass(frozen=True, slots=True)
class Where:
    """Which part of the log is shown: after or before a line, around one, or the end."""

    after: Cursor | None = None
    before: Cursor | None = None
    at: Cursor | None = None
    from_end: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line as a page shows it. `left_out` counts the characters that it does not."""

    id: UUID
    timestamp: datetime
    level: int
    name: str
    task_run_id: UUID | None
    message: str
    length: int
    task_name: str | None
    task_key: str | None

    @property
    def place(self) -> Cursor:
        return Cursor(self.timestamp, self.id)

    @property
    def left_out(self) -> int:
        return max(0, self.length - len(self.message))

    @property
    def is_gap(self) -> bool:
        """Whether the line stands for others, which were lost on their way."""
        return self.name == GAP_LOGGER


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines in their order, and where earlier and later ones are to be found.

    `looked_to` is set where a search ended before the log did, in the direction in which it went.
    """

    lines: Sequence[Line]
    before: Cursor | None
    after: Cursor | None
    looked_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Lines in the direction in which they were read, and where to go on."""

    lines: Sequence[Line]
    further: Cursor | None
    looked_to: datetime | None = None


def lines_of_flow_run(run_id: UUID, wish: LogWish) -> QuerySet[Log]:
    """The lines of a flow run and its tasks, as far as an index narrows them."""
    if one := wish.task_run_id:
        # By an expression, so that databases walk the index of the task run.
        lines = Log.objects.filter(task_run_id=one).annotate(of_run=Coalesce("flow_run_id", "flow_run_id"))
        return _important(lines.filter(of_run=run_id), wish)
    return _important(Log.objects.filter(flow_run_id=run_id), wish)


def lines_of_task_run(run_id: UUID, wish: LogWish) -> QuerySet[Log]:
    return _important(Log.objects.filter(task_run_id=run_id), wish)


def _important(lines: QuerySet[Log], wish: LogWish) -> QuerySet[Log]:
    # Both conditions: the first is that of the index, word for word, as SQLite wants it.
    return lines.filter(level__gte=WARNING).filter(level__gte=wish.level) if wish.level >= WARNING else lines


def log_page(lines: QuerySet[Log], *, run_id: UUID, wish: LogWish, where: Where, size: int = LINES_PER_PAGE) -> LogPage:
    """A page of at most `size` lines: one to four queries, whatever the length of the log."""
    if where.at and not wish.searches:
        return _around(_narrowed(lines, run_id, wish), where.at, size)
    if where.at:
        earlier = _stretch(lines, run_id, wish, where.at, size=CONTEXT, newest_first=True)
        # From the line on: there is nothing between its place and the one before it.
        itself = Cursor(where.at.at, UUID(int=max(0, where.at.id.int - 1)))
        later = _stretch(lines, run_id, wish, itself, size=size - CONTEXT, newest_first=False, whole=where.at.id)
        shown = [*reversed(earlier.lines), *later.lines]
        return LogPage(shown, earlier.further, later.further, later.looked_to)
    if where.before or where.from_end:
        found = _stretch(lines, run_id, wish, where.before, size=size, newest_first=True)
        shown = list(reversed(found.lines))
        after = (shown[-1].place if shown else where.before) if where.before else None
        return LogPage(shown, found.further, after, found.looked_to)
    found = _stretch(lines, run_id, wish, where.after, size=size, newest_first=False)
    before = (found.lines[0].place if found.lines else where.after) if where.after else None
    return LogPage(found.lines, before, found.further, found.looked_to)


def _around(lines: QuerySet[Log], at: Cursor, size: int) -> LogPage:
    """Both sides of a line, in one query."""
    itself = Cursor(at.at, UUID(int=max(0, at.id.int - 1)))
    earlier = in_order(lines, by="timestamp", after=at, newest_first=True)[: CONTEXT + 1]
    later = in_order(lines, by="timestamp", after=itself, newest_first=False)[: size - CONTEXT + 1]
    sides = [_as_lines(Log.objects.order_by().filter(pk__in=side.values("pk")), at.id) for side in (earlier, later)]
    rows = sorted((Line(*row) for row in sides[0].union(sides[1], all=True)), key=lambda line: line.place)
    before = _cut([row for row in reversed(rows) if row.place < at], CONTEXT)
    after = _cut([row for row in rows if row.place >= at], size - CONTEXT)
    return LogPage([*reversed(before.lines), *after.lines], before.further, after.further)


def _cut(lines: Sequence[Line], size: int) -> Stretch:
    return Stretch(lines[:size], lines[size - 1].place if len(lines) > size else None)


def _stretch(
    lines: QuerySet[Log],
    run_id: UUID,
    wish: LogWish,
    begin: Cursor | None,
    *,
    size: int,
    newest_first: bool,
    whole: UUID | None = None,
) -> Stretch:
    end = _end_of_search(lines, begin, newest_first) if wish.searches else None
    found = _narrowed(lines, run_id, wish)
    if end:
        found = found.filter(**{f"timestamp__{'gte' if newest_first else 'lte'}": end})
    rows = list(_as_lines(in_order(found, by="timestamp", after=begin, newest_first=newest_first), whole)[: size + 1])
    found_here = _cut([Line(*row) for row in rows], size)
    if found_here.further or not end:
        return found_here
    return Stretch(found_here.lines, Cursor(end, FIRST_ID if newest_first else LAST_ID), end)


def _end_of_search(lines: QuerySet[Log], begin: Cursor | None, newest_first: bool) -> datetime | None:
    """When the last line was written that a search looks at; None where it comes to the end of the log."""
    ordered = in_order(lines, by="timestamp", after=begin, newest_first=newest_first)
    return ordered.values_list("timestamp", flat=True)[SEARCHED : SEARCHED + 1].first()


def _narrowed(lines: QuerySet[Log], run_id: UUID, wish: LogWish) -> QuerySet[Log]:
    if wish.level:
        lines = lines.filter(level__gte=wish.level)
    if wish.task == FLOW_ITSELF:
        lines = lines.filter(task_run_id__isnull=True)
    elif wish.task and not wish.task_run_id:
        runs = TaskRun.objects.filter(flow_run=run_id, task_key=wish.task)
        # By an expression: the lines are walked in their order, and not those of each task run by themselves.
        lines = lines.annotate(writer=Coalesce("task_run_id", "task_run_id")).filter(writer__in=runs.values("pk"))
    return lines.filter(message__icontains=wish.words) if wish.words else lines


def _as_lines(lines: QuerySet[Log], whole: UUID | None) -> QuerySet[Log, Any]:
    cut: Any = Left("message", LONGEST_LINE)
    if whole:
        cut = Case(When(pk=whole, then=F("message")), default=cut, output_field=TextField())
    task = TaskRun.objects.filter(pk=OuterRef("task_run_id"))
    lines = lines.annotate(shown=cut, length=Length("message"))
    lines = lines.annotate(task_name=Subquery(task.values("name")), task_key=Subquery(task.values("task_key")))
    columns = ("id", "timestamp", "level", "name", "task_run_id", "shown", "length", "task_name", "task_key")
    return lines.values_list(*columns)


def count_errors(lines: QuerySet[Log]) -> Count:
    return capped_count(_errors(lines), ERRORS_COUNTED)


def error_beside(lines: QuerySet[Log], *, after: Cursor | None = None, before: Cursor | None = None) -> Cursor | None:
    """The place of the next error after a line, of the last one before it, or of the first error at all."""
    ordered = in_order(_errors(lines), by="timestamp", after=before or after, newest_first=before is not None)
    found = ordered.values_list("timestamp", "pk").first()
    return Cursor(*found) if found else None


def first_line(lines: QuerySet[Log], *, since: datetime | None = None) -> Cursor | None:
    """The place of the first line of these, from a moment on."""
    lines = lines.filter(timestamp__gte=since) if since else lines
    found = lines.order_by("timestamp", "id").values_list("timestamp", "pk").first()
    return Cursor(*found) if found else None


def lines_of_tasks(run_id: UUID, subject: str) -> QuerySet[Log]:
    """The lines of one task run of a flow run, or of the first runs of a task by its key."""
    wish = LogWish(task=subject)
    if wish.task_run_id:
        return lines_of_flow_run(run_id, wish)
    runs = TaskRun.objects.filter(flow_run=run_id, task_key=subject).order_by("created")
    return Log.objects.filter(task_run_id__in=list(runs.values_list("pk", flat=True)[:RUNS_LOOKED_AT]))


def _errors(lines: QuerySet[Log]) -> QuerySet[Log]:
    return lines.filter(level__gte=WARNING).filter(level__gte=ERROR)


def chunks(lines: QuerySet[Log], *, run_id: UUID, wish: LogWish) -> Iterator[Sequence[Log]]:
    """The whole log in its order, a few lines at a time: as many are held as one chunk has."""
    ordered = _narrowed(lines, run_id, wish)
    begin: Cursor | None = None
    while rows := list(in_order(ordered, by="timestamp", after=begin, newest_first=False)[:LINES_PER_CHUNK]):
        yield rows
        begin = Cursor(rows[-1].timestamp, rows[-1].pk)
