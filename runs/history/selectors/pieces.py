"""How the bins of a history consist of whole hours or minutes, whose totals are read, and of parts of them.

An hour or minute that lies in several bins is divided among them. The runs of its longest part are never counted: they
are what its totals have more than its other parts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from runs.history.selectors.durations import microseconds

FIRST, LAST = microseconds(datetime.min.replace(tzinfo=UTC)), microseconds(datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs are added: a bin, and whether they were expected in the past, since which they may be late."""

    bin: int
    has_come: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A period in one bin, or outside of all; it is all in the past or all in the future.

    Times are microseconds since 1970.
    """

    place: Place | None
    since: int
    until: int

    @property
    def length(self) -> int:
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class Part:
    """A piece to count. If the totals that it is part of are added to a place, its runs are subtracted there."""

    piece: Piece
    rest: Place | None


def divided(edges: Sequence[datetime], now: datetime, unit: int) -> tuple[list[Piece], list[Part]]:
    """Return the periods whose totals are read, in order, and the parts of units that are counted."""
    read, shared = [], defaultdict(list)
    for piece in _pieces([microseconds(edge) for edge in edges], microseconds(now), unit):
        for part in _at_units(piece, unit):
            if part.since % unit == part.until % unit == 0:
                read.append(part)
            else:
                shared[part.since // unit * unit].append(part)
    parts: list[Part] = []
    for begin, pieces in shared.items():
        # The last unit of all time has no end that Python or a database could express.
        longest = max(pieces, key=lambda piece: (piece.until > LAST, piece.length))
        if longest.place:
            read.append(Piece(longest.place, begin, begin + unit))
        counted = (piece for piece in pieces if piece is not longest and (piece.place or longest.place))
        parts += (Part(piece, longest.place) for piece in counted)
    return _joined(sorted(read, key=lambda piece: piece.since)), parts


def _pieces(edges: Sequence[int], now: int, unit: int) -> Iterator[Piece]:
    """Yield the bins in order, divided at this moment, between the parts of units before and after them."""
    edges = [min(max(edge, FIRST), LAST) for edge in edges]
    yield Piece(None, edges[0] // unit * unit, edges[0])
    for index, (since, until) in enumerate(pairwise(edges)):
        turn = min(max(since, now), until)
        yield Piece(Place(index, has_come=True), since, turn)
        yield Piece(Place(index, has_come=False), turn, until)
    yield Piece(None, edges[-1], -(-edges[-1] // unit) * unit)


def _at_units(piece: Piece, unit: int) -> Iterator[Piece]:
    """Yield the piece as whole units and the parts of units before and after them."""
    first, last = -(-piece.since // unit) * unit, piece.until // unit * unit
    cuts = {piece.since, *((first, last) if first <= last else ()), piece.until}
    for since, until in pairwise(sorted(cuts)):
        yield Piece(piece.place, since, until)


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    found: list[Piece] = []
    for piece in pieces:
        if found and found[-1].place == piece.place and found[-1].until == piece.since:
            piece = Piece(piece.place, found.pop().since, piece.until)
        found.append(piece)
    return found
