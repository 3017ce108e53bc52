"""The log of a run: keyset pages in both directions or around one line, filtered by level, task and words.

A search reads a limited number of lines and reports how far it came, so it is fast in a log of a million lines.
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
from runs.pages.selectors.parts import in_parts

LINES_PER_PAGE = 500
LINES_BESIDE = 100
# Lines above the line that an address names.
CONTEXT = 10
SEARCHED = 30_000
# Longer lines are cut; the address of a line shows all of it.
LONGEST_LINE = 2_000
ERRORS_COUNTED = 1_000
LINES_PER_CHUNK = 2_000
WARNING, ERROR = 30, 40
# To find the first line of a mapped task, the lines of at most this number of its runs are read.
RUNS_LOOKED_AT = 100
# In the list of tasks: lines that no task wrote.
FLOW_ITSELF = "-"
FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class LogCriteria:
    """A filter of lines: a minimum level, a task (its key, the id of one run, or "-"), and words."""

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
        """Whether other lines must be read, too. Indexes cover warnings, errors, and the lines of one task run."""
        return bool(self.words or (self.task and not self.task_run_id) or 0 < self.level < WARNING)


@dataclass(frozen=True, slots=True)
class Where:
    """The part of the log to show: after or before a line, around one, or the end."""

    after: Cursor | None = None
    before: Cursor | None = None
    at: Cursor | None = None
    from_end: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line as a page shows it. `left_out` is the number of characters that were cut."""

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
        """Whether the line stands for lines that were lost before they reached the server."""
        return self.name == GAP_LOGGER


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines in order, and the cursors of earlier and later ones.

    `looked_to` is set if a search stopped before the end of the log, in its direction.
    """

    lines: Sequence[Line]
    before: Cursor | None
    after: Cursor | None
    looked_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Lines in the direction in which they were read, and the cursor to continue from."""

    lines: Sequence[Line]
    further: Cursor | None
    looked_to: datetime | None = None


def lines_of_flow_run(run_id: UUID, criteria: LogCriteria) -> QuerySet[Log]:
    """Return the lines of a flow run and its tasks, filtered as far as an index supports."""
    if one := criteria.task_run_id:
        # An expression instead of the column, so that databases use the index by task run.
        lines = Log.objects.filter(task_run_id=one).annotate(of_run=Coalesce("flow_run_id", "flow_run_id"))
        return _important(lines.filter(of_run=run_id), criteria)
    return _important(Log.objects.filter(flow_run_id=run_id), criteria)


def lines_of_task_run(run_id: UUID, criteria: LogCriteria) -> QuerySet[Log]:
    return _important(Log.objects.filter(task_run_id=run_id), criteria)


def _important(lines: QuerySet[Log], criteria: LogCriteria) -> QuerySet[Log]:
    # Both conditions: SQLite uses the partial index only if the query repeats its condition exactly.
    return lines.filter(level__gte=WARNING).filter(level__gte=criteria.level) if criteria.level >= WARNING else lines


def log_page(
    lines: QuerySet[Log], *, run_id: UUID, criteria: LogCriteria, where: Where, size: int = LINES_PER_PAGE
) -> LogPage:
    """Return a page of at most `size` lines. One to four queries, independent of the length of the log."""
    if where.at and not criteria.searches:
        return _around(_narrowed(lines, run_id, criteria), where.at, size)
    if where.at:
        earlier = _stretch(lines, run_id, criteria, where.at, size=CONTEXT, newest_first=True)
        # Start just before the line, so that the page includes it.
        itself = Cursor(where.at.at, UUID(int=max(0, where.at.id.int - 1)))
        later = _stretch(lines, run_id, criteria, itself, size=size - CONTEXT, newest_first=False, whole=where.at.id)
        shown = [*reversed(earlier.lines), *later.lines]
        return LogPage(shown, earlier.further, later.further, later.looked_to)
    if where.before or where.from_end:
        found = _stretch(lines, run_id, criteria, where.before, size=size, newest_first=True)
        shown = list(reversed(found.lines))
        after = (shown[-1].place if shown else where.before) if where.before else None
        return LogPage(shown, found.further, after, found.looked_to)
    found = _stretch(lines, run_id, criteria, where.after, size=size, newest_first=False)
    before = (found.lines[0].place if found.lines else where.after) if where.after else None
    return LogPage(found.lines, before, found.further, found.looked_to)


def _around(lines: QuerySet[Log], at: Cursor, size: int) -> LogPage:
    """Return the lines before and after a line, in one query."""
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
    criteria: LogCriteria,
    begin: Cursor | None,
    *,
    size: int,
    newest_first: bool,
    whole: UUID | None = None,
) -> Stretch:
    end = _end_of_search(lines, begin, newest_first) if criteria.searches else None
    found = _narrowed(lines, run_id, criteria)
    if end:
        found = found.filter(**{f"timestamp__{'gte' if newest_first else 'lte'}": end})
    rows = list(_as_lines(in_order(found, by="timestamp", after=begin, newest_first=newest_first), whole)[: size + 1])
    found_here = _cut([Line(*row) for row in rows], size)
    if found_here.further or not end:
        return found_here
    return Stretch(found_here.lines, Cursor(end, FIRST_ID if newest_first else LAST_ID), end)


def _end_of_search(lines: QuerySet[Log], begin: Cursor | None, newest_first: bool) -> datetime | None:
    """Return the time of the last line that a search reads; None if it reaches the end of the log."""
    ordered = in_order(lines, by="timestamp", after=begin, newest_first=newest_first)
    return ordered.values_list("timestamp", flat=True)[SEARCHED : SEARCHED + 1].first()


def _narrowed(lines: QuerySet[Log], run_id: UUID, criteria: LogCriteria) -> QuerySet[Log]:
    if criteria.level:
        lines = lines.filter(level__gte=criteria.level)
    if criteria.task == FLOW_ITSELF:
        lines = lines.filter(task_run_id__isnull=True)
    elif criteria.task and not criteria.task_run_id:
        runs = TaskRun.objects.filter(flow_run=run_id, task_key=criteria.task)
        # An expression instead of the column, so that the lines are read in their order, not task run by task run.
        lines = lines.annotate(writer=Coalesce("task_run_id", "task_run_id")).filter(writer__in=runs.values("pk"))
    return lines.filter(message__icontains=criteria.words) if criteria.words else lines


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
    """Return the position of the next error after a line, of the last one before it, or of the first error."""
    ordered = in_order(_errors(lines), by="timestamp", after=before or after, newest_first=before is not None)
    found = ordered.values_list("timestamp", "pk").first()
    return Cursor(*found) if found else None


def first_line(lines: QuerySet[Log], *, since: datetime | None = None) -> Cursor | None:
    """Return the position of the first of these lines at or after a moment."""
    lines = lines.filter(timestamp__gte=since) if since else lines
    found = lines.order_by("timestamp", "id").values_list("timestamp", "pk").first()
    return Cursor(*found) if found else None


def lines_of_tasks(run_id: UUID, subject: str) -> QuerySet[Log]:
    """Return the lines of one task run of a flow run, or of the first runs of a task by its key."""
    criteria = LogCriteria(task=subject)
    if criteria.task_run_id:
        return lines_of_flow_run(run_id, criteria)
    runs = TaskRun.objects.filter(flow_run=run_id, task_key=subject).order_by("created")
    return Log.objects.filter(task_run_id__in=list(runs.values_list("pk", flat=True)[:RUNS_LOOKED_AT]))


def _errors(lines: QuerySet[Log]) -> QuerySet[Log]:
    return lines.filter(level__gte=WARNING).filter(level__gte=ERROR)


def chunks(lines: QuerySet[Log], *, run_id: UUID, criteria: LogCriteria) -> Iterator[Sequence[Log]]:
    """Yield the whole log in order, in chunks, so that only one chunk is in memory."""
    ordered = _narrowed(lines, run_id, criteria).defer("message")
    cut = ordered.annotate(shown=Left("message", LONGEST_LINE), length=Length("message"))
    begin: Cursor | None = None
    while rows := list(in_order(cut, by="timestamp", after=begin, newest_first=False)[:LINES_PER_CHUNK]):
        for part in in_parts(rows, [row.length for row in rows]):
            _complete(part)
            yield part
            for row in part:
                row.message = ""
        begin = Cursor(rows[-1].timestamp, rows[-1].pk)


def _complete(rows: Sequence[Any]) -> None:
    """Set the messages of lines of which the beginning was read. One query if there are long ones."""
    long = [row.pk for row in rows if row.length > LONGEST_LINE]
    whole = dict(Log.objects.filter(pk__in=long).values_list("pk", "message"))
    for row in rows:
        row.message = whole.get(row.pk, row.shown)
