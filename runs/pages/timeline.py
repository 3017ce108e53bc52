"""The timeline of a flow run as rows of bars; x and width in thousandths of its axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

from runs.pages.axis import WHOLE, Axis, axis_of
from runs.pages.selectors.timeline import Line, Span, Timeline

# The smallest width of a bar that is still visible, in thousandths.
NARROWEST = 2.0


@dataclass(frozen=True, slots=True)
class Bar:
    kind: str
    state_type: str
    x: float
    width: float
    title: str
    begin: datetime


@dataclass(frozen=True, slots=True)
class DrawnLine:
    line: Line
    bars: Sequence[Bar]
    is_critical: bool = False

    @property
    def anchor(self) -> str:
        """The id of the row, to which lines of the log link."""
        return f"row-{self.line.run.id if self.line.run else crc32(self.line.task_key.encode())}"

    @property
    def subject(self) -> str:
        """The id of the task run, or the key of the task, whose log lines the row links to."""
        return self.line.subject

    @property
    def worst(self) -> str:
        """The state that decides the colour of the row."""
        return self.bars[-1].state_type


def axis_of_timeline(timeline: Timeline, *, to_scale: bool = False) -> Axis:
    """Return the axis of all rows; idle periods, in which runs only wait or rest, are folded."""
    spans = (span for line in timeline.lines for span in line.spans if span.kind == "work")
    return axis_of(timeline.begin, timeline.end, [(span.begin, span.end) for span in spans], to_scale=to_scale)


def drawn(timeline: Timeline, axis: Axis) -> list[DrawnLine]:
    return [DrawnLine(line, _bars(line, axis), line.subject in timeline.critical) for line in timeline.lines]


def _bars(line: Line, axis: Axis) -> list[Bar]:
    bars, attempt = [], 0
    for span in line.spans:
        attempt += span.kind == "work" and not span.is_resumed
        x = min(axis.at(span.begin), WHOLE - NARROWEST)
        width = min(max(axis.at(span.end) - x, NARROWEST), WHOLE - x)
        title = _title(line, span, attempt)
        bars.append(Bar(span.kind, span.state_type, round(x, 1), round(width, 1), title, span.begin))
    return bars


def _title(line: Line, span: Span, attempt: int) -> str:
    took = f"{(span.end - span.begin).total_seconds():.3g} s"
    match span.kind:
        case "wait":
            return f"waited {took}"
        case "rest":
            return f"waited {took} for the next attempt"
    if line.run is None:
        return f"{line.number} runs within {took}"
    return f"attempt {attempt}{' after a pause' if span.is_resumed else ''}: {took}"
