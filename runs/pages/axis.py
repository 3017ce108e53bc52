"""The axis of a timeline: time to scale, except for long idle periods, which are folded.

Without folds, two attempts with a night between them would be two dots at the ends of a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

# In thousandths of the whole axis.
WHOLE = 1000.0
WIDTH_OF_FOLD = 30.0
MOST_FOLDS = 8
# Idle periods that are shorter than this, or than all busy time together, are drawn to scale.
SHORTEST_FOLD = timedelta(minutes=1)
MOST_TICKS = 6
# The smallest distance of labels in percent; nearer ones would overlap.
NEAREST_TICKS = 9.0
# The usual width of a slice: fifty for the whole axis.
WIDTH_OF_SLICE = 20.0
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
         7200, 14400, 21600, 43200, 86400)  # fmt: skip

Period = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Piece:
    """A period and where it is drawn; `scale` is thousandths of the axis per second."""

    begin: datetime
    end: datetime
    x: float
    width: float
    is_folded: bool = False

    @property
    def lasted(self) -> timedelta:
        return self.end - self.begin

    @property
    def percent(self) -> float:
        """The middle of the piece, in percent of the whole axis."""
        return round((self.x + self.width / 2) / 10, 2)

    @property
    def scale(self) -> float:
        return self.width / max(self.lasted.total_seconds(), 1e-6)


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled time of the axis: the time since the start, or since the last fold."""

    percent: float
    after: timedelta
    is_since_fold: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """A short part of the axis, in which runs are counted."""

    begin: datetime
    end: datetime
    x: float
    x_end: float


@dataclass(frozen=True, slots=True)
class Axis:
    pieces: Sequence[Piece]

    @property
    def folds(self) -> list[Piece]:
        return [piece for piece in self.pieces if piece.is_folded]

    def at(self, moment: datetime) -> float:
        """Return the position of a moment in thousandths; moments outside of the axis are at its ends."""
        for piece in self.pieces:
            if moment <= piece.end:
                return piece.x + piece.scale * max((moment - piece.begin).total_seconds(), 0)
        return WHOLE

    def slices(self) -> list[Slice]:
        """Divide the axis into slices of about equal width; each fold is one slice, so that it dilutes no other."""
        found = []
        for piece in self.pieces:
            number = 1 if piece.is_folded else max(1, round(piece.width / WIDTH_OF_SLICE))
            moments = [piece.begin + piece.lasted * place / number for place in range(number + 1)]
            edges = [round(piece.x + piece.width * place / number, 1) for place in range(number + 1)]
            found += [Slice(*times, *xs) for times, xs in zip(pairwise(moments), pairwise(edges), strict=True)]
        return found

    def edges(self) -> list[datetime]:
        """Return the moments between slices, with the first and the last one."""
        slices = self.slices()
        return [slices[0].begin, *(one.end for one in slices)]

    def ticks(self) -> list[Tick]:
        """Return up to about six round times; after a fold they count from its end."""
        shown = sum(piece.lasted.total_seconds() for piece in self.pieces if not piece.is_folded)
        if shown <= 0:
            return []
        step = next((one for one in STEPS if shown / one <= MOST_TICKS), shown / MOST_TICKS)
        found: list[Tick] = []
        for piece in self.pieces:
            if piece.is_folded:
                continue
            for number in range(int(piece.lasted.total_seconds() / step) + 1):
                after = timedelta(seconds=number * step)
                percent = round((piece.x + piece.scale * after.total_seconds()) / 10, 2)
                if not found or percent - found[-1].percent >= NEAREST_TICKS:
                    since = self.pieces[0].begin if number == 0 else piece.begin
                    found.append(Tick(percent, piece.begin + after - since, piece.x > 0 and number > 0))
        return found


def axis_of(begin: datetime, end: datetime, busy: Iterable[Period], *, to_scale: bool = False) -> Axis:
    """Lay out the time between two moments; `busy` are the periods in which something ran."""
    worked, idle = _divided(begin, end, busy)
    least = max(SHORTEST_FOLD, worked)
    folded = sorted((one for one in idle if one[1] - one[0] > least), key=lambda one: one[0] - one[1])[:MOST_FOLDS]
    if to_scale:
        folded = []
    shown = (end - begin) - sum((until - since for since, until in folded), timedelta())
    scale = (WHOLE - WIDTH_OF_FOLD * len(folded)) / max(shown.total_seconds(), 1e-3)
    return Axis(list(_pieces(begin, end, sorted(folded), scale)))


def _divided(begin: datetime, end: datetime, busy: Iterable[Period]) -> tuple[timedelta, list[Period]]:
    """Return how long anything ran, and the periods in which nothing did."""
    worked, idle, reached = timedelta(), [], begin
    for since, until in sorted(busy):
        since, until = min(max(since, begin), end), min(until, end)
        if since > reached:
            idle.append((reached, since))
        worked += max(until - max(since, reached), timedelta())
        reached = max(reached, until)
    if end > reached:
        idle.append((reached, end))
    return worked, idle


def _pieces(begin: datetime, end: datetime, folded: Sequence[Period], scale: float) -> Iterator[Piece]:
    x = 0.0
    bounds = [begin, *(moment for fold in folded for moment in fold), end]
    for place, (since, until) in enumerate(pairwise(bounds)):
        is_folded = place % 2 == 1
        width = WIDTH_OF_FOLD if is_folded else scale * (until - since).total_seconds()
        if until > since or len(bounds) == 2:
            yield Piece(since, until, round(x, 2), round(width, 2), is_folded)
        x += width
