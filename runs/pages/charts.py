"""Charts drawn by the server as SVG. Sizes are attributes, so that the page needs no inline styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import log1p, log10, sqrt
from typing import ClassVar

from orchestration.core.states import TERMINAL, StateType
from runs.models import FlowRun
from runs.pages.selectors.flow_history import Outcomes
from runs.pages.selectors.run import Progress

# In percent of the height, so that the shortest run is visible.
LOWEST_BAR = 6
BAR_WIDTH, BAR_GAP = 8, 4
FEWEST_BARS = 40
# The order of the parts, from finished work to work that has not started.
PROGRESS_ORDER = (
    StateType.COMPLETED,
    StateType.FAILED,
    StateType.CRASHED,
    StateType.CANCELLED,
    StateType.CANCELLING,
    StateType.PAUSED,
    StateType.RUNNING,
    StateType.PENDING,
    StateType.SCHEDULED,
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One run in the chart of a flow."""

    run: FlowRun
    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Trend:
    bars: Sequence[Bar]
    width: int
    # The shortest and the longest duration of runs that have ended.
    range: Sequence[float]


def trend_of(runs: Sequence[FlowRun]) -> Trend:
    """Return bars with a logarithmic height, so that one run of an hour does not flatten all others.

    A few bars start at the left, with the width that they would have among many.
    """
    seconds = [run.total_run_time.total_seconds() for run in runs]
    top = log1p(max(seconds, default=0)) or 1
    step = BAR_WIDTH + BAR_GAP
    bars = []
    for place, (run, length) in enumerate(zip(runs, seconds, strict=True)):
        height = LOWEST_BAR + (100 - LOWEST_BAR) * log1p(length) / top
        bars.append(Bar(run, place * step, round(100 - height, 1), round(height, 1)))
    width = step * max(len(runs), FEWEST_BARS) - BAR_GAP
    ended = [length for run, length in zip(runs, seconds, strict=True) if run.state_type in TERMINAL]
    return Trend(bars, width, (min(ended), max(ended)) if ended else ())


# The plot of the runs of a list: horizontally their start, vertically their duration on a logarithmic scale.
PLOT_WIDTH, PLOT_HEIGHT, PLOT_LEFT, PLOT_ROOM = 1000, 130, 48, 10
FEWEST_DOTS = 5
TICKS = ((0.01, "10 ms"), (0.1, "100 ms"), (1, "1 s"), (10, "10 s"), (60, "1m"), (600, "10m"), (3600, "1h"))
LONG_TICKS = ((36_000, "10h"), (360_000, "4d"))
DOTS = {
    StateType.COMPLETED: "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    StateType.FAILED: "m-4-2.5l1.5-1.5 2.5 2.5 2.5-2.5 1.5 1.5-2.5 2.5 2.5 2.5-1.5 1.5"
    "-2.5-2.5-2.5 2.5-1.5-1.5 2.5-2.5z",
    StateType.CRASHED: "m0-5l5 9h-10z",
    StateType.RUNNING: "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0zm2 0a3 3 0 1 1 6 0a3 3 0 1 1-6 0z",
}
OTHER_DOT = "m-4-1.5h8v3h-8z"


@dataclass(frozen=True, slots=True)
class Dot:
    """A run in the plot, as a shape for its state."""

    run: FlowRun
    path: str
    touch: str


@dataclass(frozen=True, slots=True)
class Plot:
    """The runs that have started, the lines of durations as (height, label), and the times at both edges."""

    dots: Sequence[Dot]
    ticks: Sequence[tuple[float, str]]
    begin: datetime
    end: datetime

    width = PLOT_WIDTH
    height = PLOT_HEIGHT
    left = PLOT_LEFT


def plot_of(runs: Sequence[FlowRun], now: datetime) -> Plot | None:
    """Draw the runs of a list; None if there are too few."""
    begun = [(run, run.start_time, _seconds_of(run, now)) for run in runs if run.start_time]
    if len(begun) < FEWEST_DOTS:
        return None
    begin, end = min(one[1] for one in begun), max(one[1] for one in begun)
    span = (end - begin).total_seconds() or 1
    low, high = log10(min(one[2] for one in begun)), log10(max(one[2] for one in begun))
    # At least a power of ten, so that runs of about the same duration form a line.
    low, high = (low - 0.5, high + 0.5) if high - low < 1 else (low, high)

    def y_of(seconds: float) -> float:
        return round(PLOT_HEIGHT - PLOT_ROOM - (PLOT_HEIGHT - 2 * PLOT_ROOM) * (log10(seconds) - low) / (high - low), 1)

    dots = []
    for run, start, seconds in begun:
        x = PLOT_LEFT + PLOT_ROOM + (PLOT_WIDTH - PLOT_LEFT - 2 * PLOT_ROOM) * (start - begin).total_seconds() / span
        at = f"M{x:.1f} {y_of(seconds)}"
        shape = DOTS.get(StateType(run.state_type), OTHER_DOT) if run.state_type else OTHER_DOT
        dots.append(Dot(run, at + shape, at + "m-9-9h18v18h-18z"))
    ticks = [(y_of(seconds), words) for seconds, words in (*TICKS, *LONG_TICKS) if low <= log10(seconds) <= high]
    return Plot(dots, ticks, begin, end)


def _seconds_of(run: FlowRun, now: datetime) -> float:
    moving = run.state_type == StateType.RUNNING and run.state_timestamp
    length = run.total_run_time + (now - moving if moving else timedelta())
    return max(length.total_seconds(), 0.001)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of the bar for one state; x and width in thousandths."""

    state_type: str
    number: int
    x: float
    width: float


def parts_of(progress: Progress) -> list[Part]:
    total = sum(progress.by_type.values())
    parts: list[Part] = []
    x = 0.0
    for state_type in PROGRESS_ORDER:
        number = progress.by_type.get(state_type, 0)
        if number:
            width = 1000 * number / total
            parts.append(Part(state_type, number, round(x, 2), round(width, 2)))
            x += width
    return parts


@dataclass(frozen=True, slots=True)
class UpAndDown:
    """Bars up and down from one line, side by side and in one scale: the line, the width of all, and their lengths."""

    middle: float
    width: int
    _scale: float

    STEP: ClassVar[int] = 12
    BAR: ClassVar[int] = 8
    HEIGHT: ClassVar[int] = 100
    LOWEST: ClassVar[int] = 5

    @classmethod
    def of(cls, count: int, most_up: float, most_down: float) -> UpAndDown:
        """Lay out so many places of which the longest bars stand for these values."""
        scale = (cls.HEIGHT - 2 * cls.LOWEST) / max(most_up + most_down, 1)
        width = max(count * cls.STEP - (cls.STEP - cls.BAR), cls.BAR)
        return cls(round(cls.LOWEST + scale * most_up, 1), width, scale)

    def length(self, value: float) -> float:
        return round(self.LOWEST + self._scale * value, 1)


# The wave of a flow: for each slot of time a bar up for completed runs, and a point down for failed and crashed ones.


@dataclass(frozen=True, slots=True)
class Beat:
    """One slot of the wave: the paths of its runs, which are empty where it has none."""

    outcomes: Outcomes
    x: int
    up: str
    down: str


@dataclass(frozen=True, slots=True)
class Wave:
    """The slots, oldest first, the height of the line between up and down, and the most runs of a slot."""

    beats: Sequence[Beat]
    width: int
    middle: float
    most_completed: int
    most_failed: int


def wave_of(slots: Sequence[Outcomes]) -> Wave:
    """Draw outcomes with square roots of their numbers, so that a failure is visible beside a thousand completed runs.

    Both directions have the same scale.
    """
    completed, failed = max(one.completed for one in slots), max(one.failed for one in slots)
    layout = UpAndDown.of(len(slots), sqrt(completed), sqrt(failed))
    middle, bar, half = layout.middle, layout.BAR, layout.BAR / 2
    beats = []
    for number, one in enumerate(slots):
        x = number * layout.STEP
        up, down = (layout.length(sqrt(runs)) for runs in (one.completed, one.failed))
        rising = f"M{x} {middle}v{-up}h{bar}v{up}z" if one.completed else ""
        point = f"M{x} {middle}h{bar}l{-half:g} {down}z" if one.failed else ""
        beats.append(Beat(one, x, rising, point))
    return Wave(beats, layout.width, middle, completed, failed)
