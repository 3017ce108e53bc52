"""The graph of a flow run as SVG shapes: cards in columns, or discs on rings around the run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import hypot
from pathlib import Path
from urllib.parse import urlencode

from django.contrib.staticfiles import finders
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from runs.graphs.core.layouts import in_columns, on_rings
from runs.graphs.core.ranks import Edge
from runs.models import FlowRun
from runs.pages.selectors.graph import Graph, Node
from runs.templatetags.states import colour, look

VIEWS = {"graph": "Graph", "radar": "Radar", "table": "Table"}
# Sizes of cards in columns, and the gaps between them, in pixels.
CARD_WIDTH, CARD_HEIGHT, COLUMN_GAP, ROW_GAP, MARGIN = 196, 44, 52, 14, 10
# Space for names of discs: half the width of a name; the height above a disc, and half the height below.
NAME_WIDTH, NAME_HEIGHT = 56, 28
LONGEST_NAME, LONGEST_RING_NAME = 19, 14
RINGS_DRAWN_APART = 40


@dataclass(frozen=True, slots=True)
class Mark:
    """A node in the picture. `data-at` is its rank and position, by which the keyboard finds neighbours."""

    x: float
    y: float
    icon: str
    name: str
    words: str
    title: str
    is_subflow: bool
    attributes: SafeString


@dataclass(frozen=True, slots=True)
class Line:
    """An edge in the picture; its id names its first and its second node."""

    id: str
    css: str
    path: str
    title: str


@dataclass(frozen=True, slots=True)
class Picture:
    view: str
    marks: Sequence[Mark]
    lines: Sequence[Line]
    left: float
    top: float
    width: float
    height: float
    # The radii and the spokes of rings; empty for columns.
    radii: Sequence[float] = ()
    spokes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Addresses:
    """The links of the graph's tab; each keeps the other choices. A saved file has no links: `leads` is false."""

    run: FlowRun
    view: str
    by: str
    opened: str
    leads: bool = True

    def of(self, **other: str) -> str:
        asked = {"tab": "graph", "view": self.view, "by": self.by, "open": self.opened, **other}
        return f"?{urlencode({name: value for name, value in asked.items() if value})}"

    def node(self, node: Node) -> str:
        return self.of(node=node.key)

    def opens(self, node: Node) -> str:
        """Return the page of a node: that of its task run or subflow run, or the list of its task runs."""
        if node.run is None:
            return f"?{urlencode({'tab': 'tasks', 'task': node.task_key})}"
        if node.subflows:
            return f"{reverse('runs:run', args=[node.subflows[0].id])}?tab=graph"
        return reverse("runs:task-run", args=[node.run.id])


def drawn_graph(graph: Graph, addresses: Addresses) -> Picture:
    return (_on_rings if addresses.view == "radar" else _in_columns)(graph, addresses)


def of_file() -> dict[str, object]:
    """Return the icons and the colours of the light theme, from the static files of the pages."""
    icons, styles = (_read(name) for name in ("img/icons.svg", "css/orion.css"))
    colours = dict(re.findall(r"--([\w-]+): (?:light-dark\()?(#\w+)", styles[: styles.index("}")]))
    symbols = "".join(re.findall(r'<symbol id="(?!nav-).*?</symbol>', icons))
    return {"symbols": mark_safe(symbols), "colours": colours}  # noqa: S308 (our own file)


@cache
def _read(name: str) -> str:
    path = finders.find(name)
    assert isinstance(path, str)
    return Path(path).read_text(encoding="utf-8")


def _in_columns(graph: Graph, addresses: Addresses) -> Picture:
    cells = in_columns(graph.ranks)
    xs = [MARGIN + cell.column * (CARD_WIDTH + COLUMN_GAP) for cell in cells]
    ys = [MARGIN + cell.row * (CARD_HEIGHT + ROW_GAP) for cell in cells]
    marks = [
        _mark(graph, addresses, number, xs[number], ys[number], 1000 * cell.column + cell.row, LONGEST_NAME)
        for number, cell in enumerate(cells)
    ]
    lines = [
        _line(graph, edge, _path_of_columns(xs[edge[0]], ys[edge[0]], xs[edge[1]], ys[edge[1]])) for edge in graph.edges
    ]
    width = max(xs, default=0) + CARD_WIDTH + MARGIN
    height = max(ys, default=0) + CARD_HEIGHT + MARGIN
    return Picture("graph", marks, lines, 0, 0, width, height)


def _path_of_columns(x: int, y: int, to_x: int, to_y: int) -> str:
    """Return the path from one card to the next; it passes other columns through the gap above the target's row."""
    begin, end = x + CARD_WIDTH, to_x
    y, to_y = y + CARD_HEIGHT // 2, to_y + CARD_HEIGHT // 2
    if end <= x + CARD_WIDTH:
        # An edge that closes a cycle leads back, below both cards.
        low = max(y, to_y) + CARD_HEIGHT
        return f"M{begin} {y}C{begin + 40} {low} {end - 40} {low} {end} {to_y}"
    bend = COLUMN_GAP // 2
    if end - begin <= COLUMN_GAP:
        return f"M{begin} {y}C{begin + bend} {y} {end - bend} {to_y} {end} {to_y}"
    gap = to_y - CARD_HEIGHT // 2 - ROW_GAP // 2
    first, last = begin + COLUMN_GAP, end - COLUMN_GAP
    return (
        f"M{begin} {y}C{begin + bend} {y} {first - bend} {gap} {first} {gap}H{last}"
        f"C{last + bend} {gap} {end - bend} {to_y} {end} {to_y}"
    )


def _on_rings(graph: Graph, addresses: Addresses) -> Picture:
    rings = on_rings(graph.ranks)
    marks = [
        _mark(graph, addresses, number, spot.x, spot.y, spot.turn, LONGEST_RING_NAME if spot.is_named else 0)
        for number, spot in enumerate(rings.spots)
    ]
    points = [(spot.x, spot.y) for spot in rings.spots]
    lines = [_line(graph, edge, _path_of_rings(*points[edge[0]], *points[edge[1]])) for edge in graph.edges]
    spokes = [f"M0 0L{spot.x} {spot.y}" for spot, rank in zip(rings.spots, graph.ranks.of, strict=True) if rank == 0]
    # Crop to the nodes: rings may extend beyond the edge.
    left, right = (edge([0.0, *(x for x, _ in points)]) for edge in (min, max))
    top, bottom = (edge([0.0, *(y for _, y in points)]) for edge in (min, max))
    left, top = left - NAME_WIDTH, top - NAME_HEIGHT
    width, height = right + NAME_WIDTH - left, bottom + 2 * NAME_HEIGHT - top
    # Rings so close to the next one are part of a spiral and are not drawn; the edges show the spiral.
    inner = [0.0, *rings.radii]
    radii = [round(one, 1) for one, last in zip(rings.radii, inner, strict=False) if one - last > RINGS_DRAWN_APART]
    return Picture("radar", marks, lines, round(left), round(top), round(width), round(height), radii, spokes)


def _path_of_rings(x: float, y: float, to_x: float, to_y: float) -> str:
    """Return a curve that meets both rings at a right angle."""
    begin, end = hypot(x, y), hypot(to_x, to_y)
    middle = (begin + end) / 2
    out, into = middle / begin, middle / end
    return f"M{x} {y}C{x * out:.1f} {y * out:.1f} {to_x * into:.1f} {to_y * into:.1f} {to_x} {to_y}"


def _mark(graph: Graph, addresses: Addresses, number: int, x: float, y: float, place: int, longest: int) -> Mark:
    node = graph.nodes[number]
    words = words_of(node)
    name = node.name if node.run else f"{node.name} × {node.number}"
    standing = _standing(graph, number)
    state_name = node.run.state_name if node.run else None
    css = f"node {colour(node.worst)}{f' {standing}' if standing else ''}"
    at = f"{graph.ranks.of[number]}.{place}"
    # One value instead of five, because a picture has hundreds of nodes.
    attributes = (
        format_html(
            'id="n{}" class="{}" href="{}" data-open="{}" data-at="{}"',
            *(number, css, addresses.node(node), addresses.opens(node), at),
        )
        if addresses.leads
        else format_html('class="{}"', css)
    )
    return Mark(
        x,
        y,
        look(node.worst, state_name)[0],
        shortened(name, longest),
        shortened(words, longest + 3) if longest else "",
        f"{name}: {words}",
        bool(node.subflows),
        attributes,
    )


def _standing(graph: Graph, number: int) -> str:
    if number == graph.chosen:
        return "chosen"
    return "upstream" if number in graph.upstream else "downstream" if number in graph.downstream else ""


def _line(graph: Graph, edge: Edge, path: str) -> Line:
    source, target = edge
    is_upstream = target == graph.chosen or target in graph.upstream
    is_downstream = source == graph.chosen or source in graph.downstream
    css = [
        *(["upstream"] if is_upstream and source in graph.upstream else []),
        *(["downstream"] if is_downstream and target in graph.downstream else []),
        *(["back"] if edge in graph.ranks.back else []),
    ]
    title = f"{graph.nodes[source].name} → {graph.nodes[target].name}: {', '.join(graph.edges[edge])}"
    return Line(f"e{source}-{target}", " ".join(css), path, title)


def words_of(node: Node) -> str:
    """Return the state of a node as text; for a node of several runs, how many of them are in the worst state."""
    if node.run:
        return look(node.run.state_type, node.run.state_name)[1]
    word = look(node.worst, None)[1].lower()
    number = node.by_type.get(node.worst, 0)
    return f"all {word}" if number == node.number else f"{number} of {node.number} {word}"


def shortened(text: str, longest: int) -> str:
    """Shorten a name in its middle: mapped runs differ in the number at the end."""
    if len(text) <= longest or not longest:
        return text if longest else ""
    tail = longest // 3
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def rows_of(graph: Graph, addresses: Addresses) -> Iterator[dict[str, object]]:
    """Yield the rows of the table with the same content, by rank."""
    for number in graph.ranks.in_order():
        node = graph.nodes[number]
        yield {
            "node": node,
            "rank": graph.ranks.of[number] + 1,
            "words": words_of(node),
            "standing": _standing(graph, number),
            "href": addresses.node(node),
            "opens": addresses.opens(node),
            "sources": graph.sources(number),
            "targets": len(graph.targets(number)),
        }
