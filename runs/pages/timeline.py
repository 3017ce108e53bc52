"""The timeline of a flow run as rows of bars; x and width in thousandths of its axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID
from zlib import crc32

from runs.pages.axis import WHOLE, Axis, axis_of
from runs.pages.bands import Band, band_of
from runs.pages.selectors.cohorts import Cohort, Row
from runs.pages.selectors.timeline import DEEPEST, MOST_OPEN, WORST_FIRST, Line, Span, Timeline
from runs.templatetags.states import look

# The smallest width of a bar that is still visible, in thousandths.
NARROWEST = 2.0
# The place and height of bars of work and of waits in a row, in the units of its picture; and the least height of a
# part, in which a state of few among many runs is still visible.
WORK, WAIT, LOWEST = (1.0, 12.0), (6.0, 2.0), 2.5


@dataclass(frozen=True, slots=True)
class Bar:
    kind: str
    state_type: str
    x: float
    width: float
    title: str
    begin: datetime
    y: float = WORK[0]
    height: float = WORK[1]


@dataclass(frozen=True, slots=True)
class DrawnLine:
    line: Line
    bars: Sequence[Bar]
    is_critical: bool = False
    # For a row of many runs, in place of its bars.
    band: Band | None = None
    # The address that opens the subflow of the row below it, or closes it.
    toggle: str = ""

    @property
    def anchor(self) -> str:
        """The id of the row, to which lines of the log link."""
        if self.line.run:
            return f"row-{self.line.run.id}"
        key = f"{self.line.of}{self.line.task_key}" if self.line.of else self.line.task_key
        return f"row-{crc32(key.encode())}"

    @property
    def subject(self) -> str:
        """The id of the task run, or the key of the task, whose log lines the row links to."""
        return self.line.subject

    @property
    def worst(self) -> str:
        """The state whose icon the row has."""
        return self.bars[-1].state_type


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of a timeline that keep what it shows: one attempt, the scale, and the opened subflows."""

    attempt: int
    to_scale: bool
    opened: Sequence[UUID]

    def of(self, **changes: Any) -> str:
        """Return the address of this timeline with some changes."""
        asked = replace(self, **changes)
        return "".join(
            (
                "?tab=timeline",
                f"&attempt={asked.attempt}" if asked.attempt else "",
                "&scale=1" if asked.to_scale else "",
                f"&open={','.join(map(str, asked.opened))}" if asked.opened else "",
            )
        )

    def toggled(self, line: Line) -> str:
        """Return the address that opens the subflow of a row, or closes it; empty if it cannot be opened here."""
        if line.subflow is None:
            return ""
        if line.is_open:
            return self.of(opened=[one for one in self.opened if one != line.subflow.id])
        if line.depth >= DEEPEST or len(self.opened) >= MOST_OPEN:
            return ""
        return self.of(opened=[*self.opened, line.subflow.id])


def axis_of_timeline(timeline: Timeline, *, to_scale: bool = False) -> Axis:
    """Return the axis of all rows; idle periods, in which runs only wait or rest, are folded."""
    spans = (span for line in timeline.lines for span in line.spans if span.kind == "work")
    return axis_of(timeline.begin, timeline.end, [(span.begin, span.end) for span in spans], to_scale=to_scale)


def drawn(
    timeline: Timeline,
    axis: Axis,
    *,
    cohorts: Mapping[Row, Sequence[Cohort]] | None = None,
    addresses: Addresses | None = None,
) -> list[DrawnLine]:
    slices = axis.slices() if cohorts else []
    lines = []
    for line in timeline.lines:
        counted = cohorts.get((line.of, line.task_key)) if cohorts and line.run is None else None
        lines.append(
            DrawnLine(
                line,
                _bars(line, axis),
                is_critical=line.of is None and line.subject in timeline.critical,
                band=band_of(counted, slices) if counted else None,
                toggle=addresses.toggled(line) if addresses else "",
            )
        )
    return lines


def _bars(line: Line, axis: Axis) -> list[Bar]:
    bars, attempt = [], 0
    for span in line.spans:
        attempt += span.kind == "work" and not span.is_resumed
        x = min(axis.at(span.begin), WHOLE - NARROWEST)
        width = min(max(axis.at(span.end) - x, NARROWEST), WHOLE - x)
        bar = Bar(span.kind, span.state_type, round(x, 1), round(width, 1), _title(line, span, attempt), span.begin)
        if span.kind != "work":
            bar = replace(bar, y=WAIT[0], height=WAIT[1])
        bars += [bar] if line.run or len(line.by_type) < 2 else _parts(bar, line.by_type)
    return bars


def _parts(bar: Bar, by_type: Mapping[str, int]) -> list[Bar]:
    """Divide the bar of several runs by the share of each state, the worst at the bottom."""
    order = [one for one in reversed(WORST_FIRST) if one in by_type]
    order = [*sorted(by_type.keys() - set(order)), *order]
    heights = {one: max(WORK[1] * by_type[one] / sum(by_type.values()), LOWEST) for one in order}
    whole = sum(heights.values())
    parts, y = [], WORK[0]
    for state_type in order:
        height = WORK[1] * heights[state_type] / whole
        title = f"{by_type[state_type]} {look(state_type, None)[1].lower()} of {bar.title}"
        parts.append(replace(bar, state_type=state_type, title=title, y=round(y, 1), height=round(height, 1)))
        y += height
    return parts


def _title(line: Line, span: Span, attempt: int) -> str:
    took = f"{(span.end - span.begin).total_seconds():.3g} s"
    match span.kind:
        case "wait":
            return f"waited {took}"
        case "rest":
            return f"waited {took} for the next attempt"
    if line.run is None:
        return f"{line.number}{'+' if line.is_cut else ''} runs within {took}"
    return f"attempt {attempt}{' after a pause' if span.is_resumed else ''}: {took}"
