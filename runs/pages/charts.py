"""Figures drawn by the server as SVG: sizes are attributes, so that no style is written into the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p

from orchestration.core.states import StateType
from runs.models import FlowRun
from runs.pages.selectors.run import Progress

# Of a hundred units of height, so that the shortest run is still seen.
LOWEST_BAR = 6
BAR_WIDTH, BAR_GAP = 8, 4
# In the order in which work passes through them.
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


def trend_of(runs: Sequence[FlowRun]) -> Trend:
    """Bars as high as the runs were long, by a logarithm: one run of an hour must not flatten all others."""
    seconds = [run.total_run_time.total_seconds() for run in runs]
    top = log1p(max(seconds, default=0)) or 1
    step = BAR_WIDTH + BAR_GAP
    bars = []
    for place, (run, length) in enumerate(zip(runs, seconds, strict=True)):
        height = LOWEST_BAR + (100 - LOWEST_BAR) * log1p(length) / top
        bars.append(Bar(run, place * step, round(100 - height, 1), round(height, 1)))
    return Trend(bars, max(step * len(runs) - BAR_GAP, 1))


@dataclass(frozen=True, slots=True)
class Part:
    """One state's share of the bar; x and width in thousandths."""

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
