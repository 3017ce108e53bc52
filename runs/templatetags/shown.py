"""Small words of the pages: values as JSON, rules as words, tasks as a bar."""

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

from runs.pages.markdown import rendered, rendered_line
from runs.pages.selectors.keyset import Count

register = template.Library()

# A page is for reading; the API gives the whole value.
LONGEST_VALUE = 20_000
MOST_ROWS, MOST_COLUMNS, LONGEST_CELL = 100, 20, 500
LONGEST_TITLE = 60
TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LEVELS = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"), (0, "debug"))


@register.filter
def as_json(value: Any) -> str:
    """Indented JSON, cut where it is longer than anybody reads."""
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
    """A list of objects, a list of rows, or an object of columns; None for everything else.

    Clients store tables as JSON text. Rows of different lengths are filled up: a cell that is not there is empty.
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
    """Markdown as HTML; anything that is no text as JSON."""
    return rendered(value) if isinstance(value, str) else as_json(value)


@register.filter
def as_cell(value: Any) -> SafeString | str:
    """One cell of a table: text with its links, nothing for null, JSON for what is nested."""
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
    """A sentence of the API or of an error, with what it names in backticks as code."""
    pieces = re.split(r"`([^`\n]+)`", words)
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", one) if place % 2 else one,) for place, one in enumerate(pieces))
    )


@register.filter
def rule_words(name: str) -> str:
    """`WaitForScheduledTime` as `Wait for scheduled time`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


@register.filter
def with_marks(message: str, words: str) -> SafeString:
    """The text of a log line, with the words that were looked for marked, and without the colours of terminals."""
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
    """The attribute with the whole name, where it is too long for its line; `flow/name` for two parts."""
    whole = "/".join(str(part) for part in parts if part)
    return format_html(' title="{}"', whole) if len(whole) > LONGEST_TITLE else ""


@register.filter
def beyond(rows: Sequence[Any], most: int) -> Count | None:
    """How many there are beyond the first ones; None if there are no more."""
    return Count(len(rows) - most) if len(rows) > most else None


@register.filter
def lookup(mapping: dict[Any, Any], key: Any) -> Any:
    """A value by its key; keys of run ids may be UUIDs or their text."""
    found = mapping.get(key)
    return found if found is not None else mapping.get(str(key), "")


@register.filter
def spoke(trail: list[list[str]]) -> list[list[str]]:
    """The judgements that were more than a silent yes."""
    return [line for line in trail if line[1] != "accept" or line[2]]


@register.filter
def silent(trail: list[list[str]]) -> list[list[str]]:
    return [line for line in trail if line[1] == "accept" and not line[2]]
