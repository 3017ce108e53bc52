"""Diagrams of the documentation, drawn from text: `make pages` renews docs/images/*.svg.

A row of boxes is a line `name: Words | name: Words`, from the top down; an arrow is `name -> name: words`. The
pictures are stored, as the reader may have no program that draws them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDE, HIGH, ACROSS, DOWN, EDGE = 190, 54, 70, 56, 12

DIAGRAMS: Mapping[str, str] = {
    "parts": """
        program: Your program | agent: Agent | browser: Browser
        api: API and pages
        rules: Rules | services: Services | broker: Broker (optional)
        database: Database
        program -> api: states in batches
        agent -> api: asks for work
        browser -> api
        api -> rules: proposes
        rules -> database: decides, writes
        services -> database: plan, tidy
        api -> broker: hints
    """,
    "transition": """
        engine: Engine | rules: Rules, in order
        accept: Accept, or amend | reject: Reject: another state | wait: Wait: ask again later | abort: Abort: stop
        record: State and trail in one transaction
        engine -> rules: proposes
        rules -> accept
        rules -> reject
        rules -> wait
        rules -> abort
        accept -> record
        reject -> record
    """,
}


@dataclass(frozen=True, slots=True)
class Box:
    words: str
    left: float
    top: float

    @property
    def middle(self) -> float:
        return self.left + WIDE / 2


def drawn(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()]
    rows = [line.split(" | ") for line in lines if "->" not in line]
    arrows = [re.match(r"(\w+) -> (\w+)(?:: (.*))?$", line) for line in lines if "->" in line]
    most = max(len(row) for row in rows)
    width = most * WIDE + (most - 1) * ACROSS + 2 * EDGE
    height = len(rows) * HIGH + (len(rows) - 1) * DOWN + 2 * EDGE
    boxes = dict(_boxes(rows, width))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="14" text-anchor="middle">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#7a8699"/></marker></defs>',
        *(_arrow(boxes[one[1]], boxes[one[2]], one[3] or "") for one in arrows if one),
        *(_box(one) for one in boxes.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _boxes(rows: list[list[str]], width: int) -> Iterator[tuple[str, Box]]:
    for number, row in enumerate(rows):
        left = (width - len(row) * WIDE - (len(row) - 1) * ACROSS) / 2
        for place, box in enumerate(row):
            name, _, words = box.partition(": ")
            yield name.strip(), Box(words.strip(), left + place * (WIDE + ACROSS), EDGE + number * (HIGH + DOWN))


def _box(box: Box) -> str:
    place = f'x="{box.left:g}" y="{box.top:g}" width="{WIDE}" height="{HIGH}" rx="8"'
    words = f'<text x="{box.middle:g}" y="{box.top + HIGH / 2 + 5:g}" fill="#15191f">{_two_lines(box)}</text>'
    return f'<rect {place} fill="#eef2f8" stroke="#7a8699"/>{words}'


def _two_lines(box: Box) -> str:
    if len(box.words) <= 24:
        return escape(box.words)
    cut = box.words.rfind(" ", 0, 24)
    first, second = escape(box.words[:cut]), escape(box.words[cut + 1 :])
    return f'<tspan dy="-9">{first}</tspan><tspan x="{box.middle:g}" dy="18">{second}</tspan>'


def _arrow(start: Box, end: Box, words: str) -> str:
    if start.top == end.top:
        x1, y1, x2, y2 = start.left + WIDE, start.top + HIGH / 2, end.left, end.top + HIGH / 2
    else:
        x1, y1, x2, y2 = start.middle, start.top + HIGH, end.middle, end.top
    way = f'd="M{x1:g} {y1:g} L{x2:g} {y2:g}" fill="none" stroke="#7a8699" stroke-width="1.5"'
    line = f'<path {way} marker-end="url(#tip)"/>'
    if not words:
        return line
    # Beside an arrow that goes straight down, otherwise above its middle.
    place = f'x="{x1 + 8:g}" text-anchor="start"' if x1 == x2 else f'x="{(x1 + x2) / 2:g}"'
    above = 0 if x1 == x2 else 6 if y1 == y2 else 14
    return f'{line}<text {place} y="{(y1 + y2) / 2 - above:g}" font-size="12" fill="#6b7687">{escape(words)}</text>'


def main() -> None:
    for name, text in DIAGRAMS.items():
        (FOLDER / f"{name}.svg").write_text(drawn(text), encoding="utf-8")


if __name__ == "__main__":
    main()
