"""Positions of the nodes of a graph: in columns from left to right, or on rings around the flow run.

Both layouts place a node by its upstream nodes and by the nodes that were created before it, and by nothing else. So
each node keeps its position while the graph grows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, ceil, cos, pi, sin, sqrt

from runs.graphs.core.ranks import Ranks

# A rank with more nodes than this is split into several columns.
ROWS = 100


@dataclass(frozen=True, slots=True)
class Cell:
    """A node's cell in the grid of columns and rows."""

    column: int
    row: int


def in_columns(ranks: Ranks) -> list[Cell]:
    """Place each node to the right of its upstream nodes, in the first free row below their middle."""
    rows: list[int] = [0] * len(ranks.of)
    inner: list[int] = [0] * len(ranks.of)
    taken: dict[tuple[int, int], set[int]] = defaultdict(set)
    sizes: dict[int, int] = defaultdict(int)
    for node in ranks.in_order():
        rank, parents = ranks.of[node], ranks.parents[node]
        inner[node] = sizes[rank] // ROWS
        sizes[rank] += 1
        row = sum(rows[one] for one in parents) // len(parents) if parents else 0
        column = taken[rank, inner[node]]
        while row in column:
            row += 1
        column.add(row)
        rows[node] = row
    before, columns = 0, {}
    for rank in sorted(sizes):
        columns[rank] = before
        before += ceil(sizes[rank] / ROWS)
    return [Cell(columns[ranks.of[node]] + inner[node], rows[node]) for node in range(len(ranks.of))]


# The number of directions on a ring at first; it doubles whenever all are taken.
FEWEST_DIRECTIONS = 4
TURN = 1 << 20
# Nodes on a ring with at most this number of directions show their names, and need the space for them.
DIRECTIONS_NAMED = 16
# Distances between centers: of nodes with a name, of nodes without one, and of rings.
NAMED_APART, UNNAMED_APART, RINGS_APART = 114.0, 46.0, 114.0
# The first rings are not turned. Each ring beyond them is turned, and is as narrow as its nodes allow: otherwise a long
# chain of nodes would be a straight line in an empty picture.
RINGS_STRAIGHT, RINGS_CLOSEST, SPIRAL_APART = 3, 0.5, 118.0


@dataclass(frozen=True, slots=True)
class Spot:
    """The position of a node; `turn` is its direction on its ring, in parts of TURN."""

    x: float
    y: float
    turn: int
    is_named: bool


@dataclass(frozen=True, slots=True)
class Rings:
    spots: Sequence[Spot]
    radii: Sequence[float]


def on_rings(ranks: Ranks) -> Rings:
    """Place each node on the ring of its rank, in the free direction next to those of its upstream nodes."""
    turns = [0] * len(ranks.of)
    taken: dict[int, set[int]] = defaultdict(set)
    for node in ranks.in_order():
        ring, parents = taken[ranks.of[node]], [turns[one] for one in ranks.parents[node]]
        wanted = _middle(parents) if parents else _spread(len(ring))
        turns[node] = _free(wanted, ring)
        ring.add(turns[node])
    radii: list[float] = []
    named: list[bool] = []
    nodes: dict[int, list[int]] = defaultdict(list)
    for node, rank in enumerate(ranks.of):
        nodes[rank].append(node)
    twists = _twists(len(taken))
    angles = [2 * pi * turn / TURN + twists[rank] for turn, rank in zip(turns, ranks.of, strict=True)]
    for rank in sorted(taken):
        directions = _directions(len(taken[rank]))
        named.append(directions <= DIRECTIONS_NAMED)
        apart = NAMED_APART if named[-1] else UNNAMED_APART
        least = apart / (2 * sin(pi / directions))
        if rank < RINGS_STRAIGHT:
            radii.append(max((radii[-1] if radii else 0) + RINGS_APART, least))
        else:
            inside = [
                (radii[other], angles[one], max(apart, NAMED_APART if named[other] else UNNAMED_APART))
                for other in range(rank)
                if radii[other] > radii[-1] - NAMED_APART
                for one in nodes[other]
            ]
            radii.append(
                _closest([angles[node] for node in nodes[rank]], inside, max(radii[-1] + RINGS_CLOSEST, least))
            )
    spots = []
    for node, rank in enumerate(ranks.of):
        # Clockwise from the top.
        x, y = radii[rank] * sin(angles[node]), -radii[rank] * cos(angles[node])
        spots.append(Spot(round(x, 1), round(y, 1), turns[node], named[rank]))
    return Rings(spots, radii)


def _twists(number: int) -> list[float]:
    """Return the angle by which each ring is turned: a chain of single nodes becomes a spiral.

    It depends on the rank alone, so that nodes keep their directions while the graph grows.
    """
    twists, radius = [0.0] * number, RINGS_STRAIGHT * RINGS_APART
    for rank in range(RINGS_STRAIGHT, number):
        step = SPIRAL_APART / radius
        twists[rank] = twists[rank - 1] + step
        # One turn of the spiral is as far from the next one as rings are.
        radius += RINGS_APART * step / (2 * pi)
    return twists


def _closest(angles: Sequence[float], inside: Sequence[tuple[float, float, float]], least: float) -> float:
    """Return the smallest radius at which nodes in these directions keep their distance from each node `inside`.

    Each of those is given by its radius, its direction and the distance to keep.
    """
    radius = least
    for angle in angles:
        for other, direction, apart in inside:
            # The angle between them and the two radii make a triangle, whose third side is the distance.
            across = other * sin(direction - angle)
            if abs(across) < apart:
                radius = max(radius, other * cos(direction - angle) + sqrt(apart * apart - across * across))
    return radius


def _directions(number: int) -> int:
    directions = FEWEST_DIRECTIONS
    while directions < number:
        directions *= 2
    return directions


def _middle(turns: Sequence[int]) -> int:
    x, y = (sum(of(2 * pi * turn / TURN) for turn in turns) for of in (cos, sin))
    # Opposite directions have no middle.
    return round(atan2(y, x) / (2 * pi) * TURN) % TURN if abs(x) + abs(y) > 1e-6 else turns[0]


def _spread(place: int) -> int:
    """Return the direction for a position: opposite, then halfway between, and so on, to spread nodes evenly."""
    turn, share = 0, TURN
    while place:
        share //= 2
        turn += share * (place % 2)
        place //= 2
    return turn


def _free(wanted: int, taken: set[int]) -> int:
    directions = _directions(len(taken) + 1)
    step = TURN // directions
    first = round(wanted / step)
    for distance in range(directions // 2 + 1):
        for slot in (first + distance, first - distance):
            turn = slot % directions * step
            if turn not in taken:
                return turn
    raise AssertionError("A ring has more directions than nodes.")
