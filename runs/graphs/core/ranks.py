"""Ranks of a directed graph: the length of the longest path to each node.

Nodes are numbers, in the order of their creation. An edge that closes a cycle is ignored, so that a task in a loop that
takes its own earlier results is drawn like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of each node, and the edges that were ignored because they close a cycle."""

    of: Sequence[int]
    back: frozenset[Edge]
    parents: Mapping[int, Sequence[int]]

    def in_order(self) -> list[int]:
        """Return the nodes by rank, then by creation, so that a new node never precedes an older one of its rank."""
        return sorted(range(len(self.of)), key=lambda node: (self.of[node], node))


def ranks(number: int, edges: Iterable[Edge]) -> Ranks:
    """Rank each node higher than all nodes that it takes data from."""
    wanted = set(edges)
    back = {edge for edge in wanted if edge[0] == edge[1]}
    parents, children = _neighbours(wanted - back)
    rank, waits = [0] * number, [len(parents[node]) for node in range(number)]
    ready, released = [node for node in range(number) if not waits[node]], [False] * number
    heapify(ready)

    def release_from_one(node: int) -> None:
        waits[node] -= 1
        if not waits[node]:
            heappush(ready, node)

    least = 0
    while True:
        while ready:
            node = heappop(ready)
            released[node] = True
            for child in (one for one in children[node] if (node, one) not in back):
                rank[child] = max(rank[child], rank[node] + 1)
                release_from_one(child)
        while least < number and released[least]:
            least += 1
        if least == number:
            break
        # All remaining nodes wait for a cycle: ignore one of its edges, and continue.
        closing = _closing_edge(least, parents, released, back)
        back.add(closing)
        release_from_one(closing[1])
    forward = {node: [one for one in parents[node] if (one, node) not in back] for node in range(number)}
    return Ranks(rank, frozenset(back), forward)


def _neighbours(edges: Iterable[Edge]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    parents: dict[int, list[int]] = defaultdict(list)
    children: dict[int, list[int]] = defaultdict(list)
    for source, target in sorted(edges):
        parents[target].append(source)
        children[source].append(target)
    return parents, children


def _closing_edge(node: int, parents: Mapping[int, Sequence[int]], released: Sequence[bool], back: set[Edge]) -> Edge:
    """Walk upstream until a node repeats; return the edge of that cycle into the node that was created first."""
    walked: dict[int, int] = {}
    while node not in walked:
        walked[node] = next(one for one in parents[node] if not released[one] and (one, node) not in back)
        node = walked[node]
    cycle = [node]
    while walked[cycle[-1]] != node:
        cycle.append(walked[cycle[-1]])
    first = min(cycle)
    return walked[first], first


def reachable(start: int, edges: Iterable[Edge], *, upstream: bool) -> set[int]:
    """Return all nodes that `start` takes data from, or all that take data from it, directly or not; not `start`."""
    neighbours = _neighbours(edges)[0 if upstream else 1]
    found, queue = {start}, [start]
    while queue:
        for one in neighbours[queue.pop()]:
            if one not in found:
                found.add(one)
                queue.append(one)
    return found - {start}
