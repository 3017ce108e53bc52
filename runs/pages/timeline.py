"""The timeline of a flow run as rows of bars; x and width in thousandths of the whole time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from runs.pages.selectors.timeline import Line, Timeline

# So narrow a bar is still seen.
NARROWEST = 2.0
MOST_TICKS = 6
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
         7200, 14400, 21600, 43200, 86400)  # fmt: skip


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
        """The id of the row, to which lines of the log lead."""
        return f"row-{self.line.run.id if self.line.run else crc32(self.line.task_key.encode())}"

    @property
    def subject(self) -> str:
        """A task run, or the key of a task: whose lines the row leads to."""
        return self.line.subject

    @property
    def worst(self) -> str:
        """The state whose colour the row has."""
        return self.bars[-1].state_type


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment on the scale, as the time since the start."""

    percent: float
    after: timedelta


def drawn(timeline: Timeline) -> list[DrawnLine]:
    whole = max((timeline.end - timeline.begin).total_seconds(), 0.001)
    return [DrawnLine(line, _bars(line, timeline, whole), line.subject in timeline.critical) for line in timeline.lines]


def _bars(line: Line, timeline: Timeline, whole: float) -> list[Bar]:
    bars, attempt = [], 0
    for span in line.spans:
        attempt += span.kind == "work"
        seconds = (span.end - span.begin).total_seconds()
        x = min(max(1000 * (span.begin - timeline.begin).total_seconds() / whole, 0), 1000 - NARROWEST)
        width = min(max(1000 * seconds / whole, NARROWEST), 1000 - x)
        title = _title(line, span.kind, attempt, seconds)
        bars.append(Bar(span.kind, span.state_type, round(x, 1), round(width, 1), title, span.begin))
    return bars


def _title(line: Line, kind: str, attempt: int, seconds: float) -> str:
    took = f"{seconds:.3g} s"
    match kind:
        case "wait":
            return f"waited {took}"
        case "rest":
            return f"waited {took} for the next attempt"
    return f"attempt {attempt}: {took}" if line.run is not None else f"{line.number} runs within {took}"


def ticks(timeline: Timeline) -> list[Tick]:
    """Round moments of the scale, at most six."""
    whole = (timeline.end - timeline.begin).total_seconds()
    if whole <= 0:
        return []
    step = next((one for one in STEPS if whole / one <= MOST_TICKS), whole / MOST_TICKS)
    return [
        Tick(round(100 * number * step / whole, 2), timedelta(seconds=number * step))
        for number in range(int(whole / step) + 1)
    ]
