"""Tables: aligned plain text, or those of Rich if it is installed and the output is a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from unicodedata import combining, east_asian_width

from orionflow.cli.safe_text import ours, printable
from orionflow.cli.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of a cell, and the same text with colours."""

    text: str
    painted: str


def render_table(titles: Sequence[str], rows: Sequence[Sequence[Cell]], terminal: Terminal) -> str:
    """Return the titles and all rows; an empty text if there are no rows."""
    if not rows:
        return ""
    if terminal.shows_live and terminal.has_color() and find_spec("rich"):
        return _rich(titles, rows, terminal.width)
    return _plain(titles, rows)


def render_fields(fields: Sequence[tuple[str, Cell]]) -> str:
    """Return `title: value` lines; further lines of a long value are indented below its first."""
    width = max((len(title) for title, _ in fields), default=0) + 2
    lines = []
    for title, cell in fields:
        first, *rest = cell.painted.splitlines() or [""]
        lines.append(f"{(title + ':').ljust(width)}{first}".rstrip())
        lines += [" " * width + line for line in rest]
    return "\n".join(lines)


def display_width(text: str) -> int:
    return sum(0 if combining(mark) else 2 if east_asian_width(mark) in "WF" else 1 for mark in text)


def _plain(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    shown = [[Cell(title, title) for title in titles], *rows]
    one_line = [[Cell(_flat(cell.text), _flat(cell.painted)) for cell in row] for row in shown]
    widths = [max(display_width(row[place].text) for row in one_line) for place in range(len(titles))]
    return "\n".join(_line(row, widths) for row in one_line)


def _line(row: Sequence[Cell], widths: Sequence[int]) -> str:
    padded = [cell.painted + " " * (width - display_width(cell.text)) for cell, width in zip(row, widths, strict=True)]
    return "  ".join(padded).rstrip()


def _flat(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ")


def _rich(titles: Sequence[str], rows: Sequence[Sequence[Cell]], width: int) -> str:
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*titles, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text.from_ansi(printable(_flat(cell.painted))) for cell in row))
    page = StringIO()
    Console(file=page, width=width, force_terminal=True, highlight=False).print(table)
    return ours(page.getvalue().rstrip("\n"))
