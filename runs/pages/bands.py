"""The row of a task with many runs as a band: how many were at work, and how many waited, over time. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from runs.pages.axis import WHOLE, Slice
from runs.pages.selectors.cohorts import Cohort, Moment
from runs.pages.selectors.timeline import WORST_FIRST

# The base and the height of both halves of a band, in the units of its picture: waiting above, at work below; and the
# least height of a state of few among many runs, so that it is visible.
WAIT, WORK, LOWEST = (4.0, 3.5), (13.0, 8.0), 1.5
# The numbers of the text that stands for the picture.
PARTS_DESCRIBED = 10


@dataclass(frozen=True, slots=True)
class Layer:
    """An area of the picture: runs that waited, or that were at work and are in one state now."""

    kind: str
    state_type: str
    path: str


@dataclass(frozen=True, slots=True)
class Band:
    """Layers in the order in which they are painted, and the same as numbers."""

    layers: Sequence[Layer]
    at_work: int
    waiting: int
    course: Sequence[int]

    @property
    def text(self) -> str:
        waiting = f", up to {self.waiting} waiting" if self.waiting else ""
        return f"up to {self.at_work} at work at a time{waiting}"


def band_of(cohorts: Iterable[Cohort], slices: Sequence[Slice]) -> Band | None:
    """Return the band of a row; None if there is nothing to draw, such as runs that took no time."""
    by_state: dict[str, list[Cohort]] = defaultdict(list)
    for one in cohorts:
        by_state[one.state_type].append(one)
    waiting = averages([(one.number, one.due, one.began) for some in by_state.values() for one in some], slices)
    working = {
        state: averages([(one.number, one.began, one.ended) for one in some], slices)
        for state, some in by_state.items()
    }
    at_work = [sum(numbers) for numbers in zip(*working.values(), strict=True)]
    if not any(at_work) and not any(waiting):
        return None
    layers = [Layer("wait", "", _area(heights, slices, WAIT[0])) for heights in _stacked({"": waiting}, WAIT[1], 0.0)]
    order = [*(one for one in WORST_FIRST if one in working), *sorted(working.keys() - set(WORST_FIRST))]
    stacks = _stacked({one: working[one] for one in order}, WORK[1], LOWEST)
    # Each layer reaches down to the base, so the highest is painted first.
    for state, heights in reversed(list(zip(order, stacks, strict=True))):
        if any(working[state]):
            layers.append(Layer("work", state, _area(heights, slices, WORK[0])))
    return Band(layers, _most(at_work), _most(waiting), _course(at_work, slices))


def averages(stays: Iterable[tuple[int, Moment, Moment]], slices: Sequence[Slice]) -> list[float]:
    """Return for each slice how many runs it had on average, from when so many of them came and went."""
    begin, last = slices[0].begin, len(slices)
    bounds = [0.0, *((one.end - begin).total_seconds() for one in slices)]
    # The seconds spent in slices in which runs came or went, and changes of the number that stayed throughout.
    partly, changes = [0.0] * (last + 2), [0] * (last + 2)
    for number, came, went in stays:
        if came.slice == went.slice:
            partly[came.slice] += went.seconds - came.seconds
        elif came.slice < went.slice:
            if came.slice > 0:
                partly[came.slice] += number * bounds[came.slice] - came.seconds
            if went.slice <= last:
                partly[went.slice] += went.seconds - number * bounds[went.slice - 1]
            changes[came.slice + 1] += number
            changes[went.slice] -= number
    found, throughout = [], 0
    for place, (since, until) in enumerate(pairwise(bounds), start=1):
        throughout += changes[place]
        found.append(max(0.0, throughout + partly[place] / max(until - since, 1e-6)))
    return found


def _stacked(numbers: Mapping[str, Sequence[float]], room: float, lowest: float) -> list[list[float]]:
    """Return the heights up to which each layer reaches in each slice, the lowest layer first."""
    # Less than one run at a time is drawn lower than one.
    most = max(1.0, *(sum(column) for column in zip(*numbers.values(), strict=True)))
    columns = []
    for column in zip(*numbers.values(), strict=True):
        height, reached = 0.0, []
        for number in column:
            height += max(room * number / most, lowest) if number else 0.0
            reached.append(height)
        columns.append([one * min(1.0, room / height) if height else 0.0 for one in reached])
    return [list(heights) for heights in zip(*columns, strict=True)]


def _area(heights: Sequence[float], slices: Sequence[Slice], base: float) -> str:
    """Return the path of a stepped area; equal heights side by side are one step."""
    steps, before = [f"M{slices[0].x:g} {base:g}"], base
    for place, (one, height) in enumerate(zip(slices, heights, strict=True)):
        y = round(base - height, 1)
        if y != before:
            if place:
                steps.append(f"H{one.x:g}")
            steps.append(f"V{y:g}")
            before = y
    return "".join([*steps, f"H{slices[-1].x_end:g}V{base:g}Z"])


def _most(numbers: Sequence[float]) -> int:
    # An average is never above the number at some moment. Hundredths are errors of rounding.
    return max(ceil(one - 0.05) for one in numbers)


def _course(numbers: Sequence[float], slices: Sequence[Slice]) -> list[int]:
    """Return the most in each of ten equal parts of the axis, from left to right."""
    parts: list[list[float]] = [[] for _ in range(PARTS_DESCRIBED)]
    for number, one in zip(numbers, slices, strict=True):
        parts[min(int((one.x + one.x_end) / 2 * PARTS_DESCRIBED / WHOLE), PARTS_DESCRIBED - 1)].append(number)
    return [_most(part) for part in parts if part]
