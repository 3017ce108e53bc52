"""Filters and tags of the pages: values as JSON, tables and Markdown, names of rules, tasks as a bar."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from django import template
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

from runs.models import FlowRun
from runs.pages.columns import USUAL, Column, Columns, maker_of
from runs.pages.markdown import rendered, rendered_line
from runs.pages.selectors.keyset import Count

register = template.Library()

# Pages cut longer values; the API returns the whole value.
LONGEST_VALUE = 20_000
MOST_ROWS, MOST_COLUMNS, LONGEST_CELL = 100, 20, 500
LONGEST_TITLE = 60
TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LEVELS = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"), (0, "debug"))


@register.filter
def as_json(value: Any) -> str:
    """Return indented JSON, cut at LONGEST_VALUE."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[:LONGEST_VALUE]}\n… {len(text) - LONGEST_VALUE} characters more; the API has the whole value."


@dataclass(frozen=True, slots=True)
class Table:
    """A table artifact as rows of a page."""

    columns: list[str]
    rows: list[list[Any]]
    left_out: int


@register.filter
def as_table(value: Any) -> Table | None:
    """Read a list of objects, a list of rows, or an object of columns; None for other values.

    Clients store tables as JSON text. Shorter rows are filled up with empty cells.
    """
    content = _read(value)
    if isinstance(content, dict) and content and all(isinstance(column, list) for column in content.values()):
        content = [dict(zip(content, row, strict=True)) for row in zip_longest(*content.values(), fillvalue="")]
    if not isinstance(content, list) or not content:
        return None
    left_out = max(0, len(content) - MOST_ROWS)
    if all(isinstance(row, dict) for row in content):
        columns = list(dict.fromkeys(str(name) for row in content[:MOST_ROWS] for name in row))[:MOST_COLUMNS]
        return Table(columns, [[row.get(name, "") for name in columns] for row in content[:MOST_ROWS]], left_out)
    if all(isinstance(row, list) for row in content):
        width = min(MOST_COLUMNS, max(len(row) for row in content[:MOST_ROWS]))
        filled = [[*row[:width], *[""] * (width - len(row))] for row in content[:MOST_ROWS]]
        return Table([], filled, left_out)
    return None


def _read(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


@register.filter
def as_markdown(value: Any) -> SafeString | str:
    """Render Markdown as HTML; a value that is not a text as JSON."""
    return rendered(value) if isinstance(value, str) else as_json(value)


@register.filter
def as_cell(value: Any) -> SafeString | str:
    """Render one cell of a table: text with its links, null as empty, nested values as JSON."""
    match value:
        case None:
            return ""
        case str():
            return rendered_line(value[:LONGEST_CELL])
        case bool() | dict() | list():
            return json.dumps(value, ensure_ascii=False)[:LONGEST_CELL]
    return str(value)


@register.filter
def with_code(words: str) -> SafeString:
    """Render a sentence of the API or of an error, with text in backticks as code."""
    pieces = re.split(r"`([^`\n]+)`", words)
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", one) if place % 2 else one,) for place, one in enumerate(pieces))
    )


@register.filter
def rule_words(name: str) -> str:
    """Return `WaitForScheduledTime` as `Wait for scheduled time`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


@register.filter
def with_marks(message: str, words: str) -> SafeString:
    """Render the text of a log line: mark the search words, and remove the colour codes of terminals."""
    text = TERMINAL_COLOURS.sub("", message)
    if not words:
        return escape(text)
    pieces = re.split(f"({re.escape(words)})", text, flags=re.IGNORECASE)
    return format_html_join(
        "", "{}", ((format_html("<mark>{}</mark>", one) if place % 2 else one,) for place, one in enumerate(pieces))
    )


@register.filter
def level_name(level: int) -> str:
    return next(name for floor, name in LEVELS if level >= floor)


@register.simple_tag
def titled(*parts: object) -> SafeString | str:
    """Return a title attribute with the whole name if it is too long for its line; two parts become `flow/name`."""
    whole = "/".join(str(part) for part in parts if part)
    return format_html(' title="{}"', whole) if len(whole) > LONGEST_TITLE else ""


@register.filter
def beyond(rows: Sequence[Any], most: int) -> Count | None:
    """Return the number of rows after the first `most`; None if there are no more."""
    return Count(len(rows) - most) if len(rows) > most else None


@register.filter
def lookup(mapping: dict[Any, Any], key: Any) -> Any:
    """Return a value by its key; ids of runs may be UUIDs or texts."""
    found = mapping.get(key)
    return found if found is not None else mapping.get(str(key), "")


@register.filter
def columns_or_usual(columns: Columns | str) -> Sequence[Column]:
    """Return the chosen columns of a list of runs; for a list that offers no choice, the usual ones."""
    return columns.shown if isinstance(columns, Columns) else USUAL


@register.filter
def made_by(run: FlowRun) -> str:
    return maker_of(run)


@register.filter
def with_reasons(trail: list[list[str]]) -> list[list[str]]:
    """Return the judgements of rules that did more than accept without a reason."""
    return [line for line in trail if line[1] != "accept" or line[2]]


@register.filter
def without_reasons(trail: list[list[str]]) -> list[list[str]]:
    return [line for line in trail if line[1] == "accept" and not line[2]]
