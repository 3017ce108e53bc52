"""Layouts of graphs: ranks follow the data, no two nodes overlap, and what grows keeps its nodes where they are."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import atan2, hypot

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.graphs.core.layouts import DIRECTIONS_NAMED, ROWS, TURN, Spot, in_columns, on_rings
from runs.graphs.core.ranks import Edge, ranks, reachable

sizes = st.integers(1, 45)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Edge]]:
    """Any graph: with cycles, loops, edges twice, and parts that do not hang together."""
    number = draw(sizes)
    node = st.integers(0, number - 1)
    return number, draw(st.lists(st.tuples(node, node), max_size=3 * number))


@st.composite
def grown(draw: st.DrawFn) -> tuple[int, list[Edge]]:
    """A graph as runs make it: each node takes from nodes that were there before it."""
    number = draw(sizes)
    edges = [
        (source, node)
        for node in range(1, number)
        for source in draw(st.lists(st.integers(0, node - 1), max_size=3, unique=True))
    ]
    return number, edges


def is_on_cycle(edge: Edge, edges: list[Edge]) -> bool:
    return edge[0] == edge[1] or edge[0] in reachable(edge[1], edges, upstream=False)


@given(graphs())
def test_each_edge_goes_down_a_rank_unless_it_closes_a_cycle(graph: tuple[int, list[Edge]]):
    number, edges = graph

    found = ranks(number, edges)

    assert all(found.of[source] < found.of[target] for source, target in set(edges) - found.back)
    assert all(is_on_cycle(edge, edges) for edge in found.back)
    # No rank is higher than the data demands.
    assert all(
        rank == max((found.of[one] + 1 for one in found.parents[node]), default=0) for node, rank in enumerate(found.of)
    )


@given(graphs(), st.randoms())
def test_layouts_do_not_depend_on_the_order_of_edges(graph: tuple[int, list[Edge]], chance):
    number, edges = graph
    shuffled = list(edges)
    chance.shuffle(shuffled)

    one, other = ranks(number, edges), ranks(number, shuffled)

    assert in_columns(one) == in_columns(other)
    assert on_rings(one) == on_rings(other)


@given(graphs())
def test_no_two_nodes_share_a_cell_and_data_goes_to_the_right(graph: tuple[int, list[Edge]]):
    number, edges = graph
    found = ranks(number, edges)

    cells = in_columns(found)

    assert len(set(cells)) == number
    assert all(cell.row >= 0 for cell in cells)
    assert all(cells[source].column < cells[target].column for source, target in set(edges) - found.back)


@given(graphs())
def test_no_two_nodes_of_the_rings_overlap_and_data_goes_outward(graph: tuple[int, list[Edge]]):
    number, edges = graph
    found = ranks(number, edges)

    rings = on_rings(found)

    for (x, y, named), (other_x, other_y, other_named) in combinations(
        [(spot.x, spot.y, spot.is_named) for spot in rings.spots], 2
    ):
        apart = 112 if named or other_named else 45
        assert hypot(x - other_x, y - other_y) > apart
    assert all(
        hypot(rings.spots[source].x, rings.spots[source].y) < hypot(rings.spots[target].x, rings.spots[target].y)
        for source, target in set(edges) - found.back
    )
    assert list(rings.radii) == sorted(rings.radii)


@given(grown())
def test_nodes_stay_where_they_are_while_the_graph_grows(graph: tuple[int, list[Edge]]):
    number, edges = graph
    before = number // 2 + 1
    found, earlier = ranks(number, edges), ranks(before, [edge for edge in edges if max(edge) < before])

    assert found.of[:before] == earlier.of
    assert [cell.row for cell in in_columns(found)[:before]] == [cell.row for cell in in_columns(earlier)]
    if max(map(found.of.count, found.of)) <= ROWS:
        assert in_columns(found)[:before] == in_columns(earlier)
    assert [spot.turn for spot in on_rings(found).spots[:before]] == [spot.turn for spot in on_rings(earlier).spots]
    assert all(
        directed(one) == pytest.approx(directed(other), abs=0.01) or number > DIRECTIONS_NAMED
        for one, other in zip(on_rings(found).spots, on_rings(earlier).spots, strict=False)
    )


def directed(spot: Spot) -> float:
    return atan2(spot.y, spot.x)


@pytest.mark.parametrize(("number", "widest"), [(3, 342), (20, 800), (100, 1400), (300, 2300)])
def test_a_long_chain_of_the_rings_is_a_spiral_that_uses_its_space(number: int, widest: int):
    rings = on_rings(ranks(number, [(node, node + 1) for node in range(number - 1)]))

    xs, ys = [spot.x for spot in rings.spots], [spot.y for spot in rings.spots]
    steps = [hypot(one.x - other.x, one.y - other.y) for one, other in pairwise(rings.spots)]

    assert max(xs) - min(xs) < widest
    assert max(ys) - min(ys) < widest
    assert max(steps) < 120


def test_a_chain_of_mapped_tasks_is_rows_of_straight_lines():
    found = ranks(9, [(0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (5, 8)])

    assert [(cell.column, cell.row) for cell in in_columns(found)] == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)
    ]  # fmt: skip


def test_a_rank_with_many_nodes_is_columns_beside_each_other():
    cells = in_columns(ranks(2 * ROWS + 2, [(0, node) for node in range(1, 2 * ROWS + 2)]))

    assert [cell.column for cell in cells] == [0, *[1] * ROWS, *[2] * ROWS, 3]


def test_a_loop_that_feeds_itself_is_ranked_without_the_edge_that_closes_it():
    found = ranks(3, [(0, 1), (1, 2), (2, 1), (1, 1)])

    assert found.of == [0, 1, 2]
    assert found.back == {(2, 1), (1, 1)}


def test_what_waits_behind_a_cycle_is_not_taken_for_a_part_of_it():
    # 0 takes from the cycle of 1 and 2, and was created before it.
    found = ranks(3, [(1, 2), (2, 1), (2, 0)])

    assert found.back == {(2, 1)}
    assert found.of == [2, 0, 1]


@pytest.mark.parametrize(("number", "turns"), [(1, [0]), (2, [0, TURN // 2]), (3, [0, TURN // 2, TURN // 4])])
def test_the_first_nodes_stand_evenly_around_the_middle(number: int, turns: list[int]):
    assert [spot.turn for spot in on_rings(ranks(number, [])).spots] == turns


def test_a_crowded_ring_has_no_names():
    few, many = (on_rings(ranks(number, [])) for number in (DIRECTIONS_NAMED, DIRECTIONS_NAMED + 1))

    assert {spot.is_named for spot in few.spots} == {True}
    assert {spot.is_named for spot in many.spots} == {False}


def test_upstream_and_downstream_are_all_that_data_reached():
    edges = [(0, 1), (1, 2), (3, 2), (2, 4), (5, 6)]

    assert reachable(2, edges, upstream=True) == {0, 1, 3}
    assert reachable(2, edges, upstream=False) == {4}
    assert reachable(1, [*edges, (4, 1)], upstream=True) == {0, 2, 3, 4}
