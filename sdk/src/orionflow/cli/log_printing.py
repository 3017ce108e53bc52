"""Log lines in the form that was asked for; text and JSON lines are printed as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orionflow.cli.backend import Json
from orionflow.cli.log_lines import line_text
from orionflow.cli.options import Output
from orionflow.cli.output import Column
from orionflow.cli.safe_text import as_json
from orionflow.cli.times import Clock


def printer(output: Output, clock: Clock) -> Callable[[Json], None]:
    """Shows one line at a time; what cannot be shown so (one JSON array) becomes JSON lines."""
    if output.is_for_people:
        return lambda line: output.terminal.out(line_text(line, clock, output.terminal))
    return lambda line: output.terminal.out(as_json(line))


def print_lines(lines: Iterable[Json], output: Output, clock: Clock) -> None:
    if output.is_for_people:
        show = printer(output, clock)
        for line in lines:
            show(line)
        return
    output.show_many(list(lines), COLUMNS, name="message")


COLUMNS = [
    Column("TIMESTAMP", lambda line: line["timestamp"], field="timestamp"),
    Column("LEVEL", lambda line: str(line["level"]), field="level"),
    Column("MESSAGE", lambda line: line["message"], field="message"),
]
