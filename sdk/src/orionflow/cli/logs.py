"""Log lines of runs: fetched page by page or followed, and printed in the requested form."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import click

from orionflow.calls.records import LOGS
from orionflow.cli.backend import Backend, Json
from orionflow.cli.output import Column
from orionflow.cli.safe_text import as_json, styled
from orionflow.cli.session import Session
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock, read_moment

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
COLORS = {30: "yellow", 40: "red", 50: "bright_red"}
POLL_SECONDS = 0.5
# A line may be stored after a younger one: several processes write, each in batches.
OVERLAP = timedelta(seconds=5)


@dataclass(slots=True)
class LogQuery:
    """The lines to show."""

    filters: Json
    pattern: re.Pattern[str] | None = None
    seen: dict[str, str] = field(default_factory=dict)

    def wants(self, line: Json) -> bool:
        return self.pattern is None or self.pattern.search(line["message"]) is not None


def log_query(*, filters: Json, level: str | None, since: str | None, grep: str | None, clock: Clock) -> LogQuery:
    wanted = dict(filters)
    if level:
        wanted["level"] = {"ge_": LEVELS[level]}
    if since:
        wanted["timestamp"] = {"after_": clock.moment(since).isoformat()}
    return LogQuery({"logs": wanted}, _pattern(grep))


def _pattern(grep: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(grep) if grep else None
    except re.error as error:
        raise click.UsageError(f"--grep {grep!r} is not a regular expression: {error}.") from None


def stored_lines(api: Backend, query: LogQuery, tail: int | None) -> Iterator[Json]:
    """Yield all lines, oldest first, or only the last ones."""
    if tail is None:
        lines = api.pages(LOGS, {**query.filters, "sort": "TIMESTAMP_ASC"}, None)
    else:
        newest = list(api.pages(LOGS, {**query.filters, "sort": "TIMESTAMP_DESC"}, tail))
        lines = reversed(newest)
    for line in lines:
        query.seen[line["id"]] = line["timestamp"]
        if query.wants(line):
            yield line


def new_lines(api: Backend, query: LogQuery) -> Iterator[Json]:
    """Yield lines that were stored since the last call, even out of order."""
    newest = max(query.seen.values(), default=None)
    filters = query.filters
    if newest is not None:
        after = read_moment(newest)
        assert after is not None
        edge = after - OVERLAP * 2
        query.seen = {key: at for key, at in query.seen.items() if (read_moment(at) or edge) >= edge}
        filters = {"logs": {**filters["logs"], "timestamp": {"after_": (after - OVERLAP).isoformat()}}}
    for line in list(api.pages(LOGS, {**filters, "sort": "TIMESTAMP_ASC"}, None)):
        if line["id"] not in query.seen:
            query.seen[line["id"]] = line["timestamp"]
            if query.wants(line):
                yield line


def follow(api: Backend, query: LogQuery, is_over: Callable[[], bool], show: Callable[[Json], None]) -> None:
    """Show new lines until the run has ended and its last lines have arrived."""
    while True:
        over = is_over()
        for line in new_lines(api, query):
            show(line)
        if over:
            return
        time.sleep(POLL_SECONDS)


def line_text(line: Json, clock: Clock, terminal: Terminal) -> str:
    level = line["level"]
    name = next((name for name, number in LEVELS.items() if number == level), str(level)).upper()
    shown = styled(name.ljust(8), fg=COLORS.get(level - level % 10))
    stamp = clock.absolute(line["timestamp"]) if terminal.verbose else clock.clock_time(line["timestamp"])
    # Further lines of a message are indented below its first.
    message = line["message"].rstrip("\n").replace("\n", "\n" + " " * (len(stamp) + 12))
    return f"{stamp}  {shown}  {message}"


def printer(session: Session) -> Callable[[Json], None]:
    """Return a function that shows one line at a time; for the form of one JSON array, it prints JSON lines instead."""
    terminal = session.terminal
    if session.for_people:
        return lambda line: terminal.out(line_text(line, session.clock, terminal))
    return lambda line: terminal.out(as_json(line))


def print_lines(lines: Iterable[Json], session: Session) -> None:
    """Print lines in the requested form; users see each line as soon as it is available."""
    if not session.for_people:
        session.output.show_many(list(lines), COLUMNS, name="message")
        return
    show = printer(session)
    for line in lines:
        show(line)


COLUMNS = [
    Column("TIMESTAMP", lambda line: line["timestamp"], field="timestamp"),
    Column("LEVEL", lambda line: str(line["level"]), field="level"),
    Column("MESSAGE", lambda line: line["message"], field="message"),
]
