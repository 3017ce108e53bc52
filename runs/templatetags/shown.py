"""Small words of the pages: values as JSON, rules as words, tasks as a bar."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from django import template

register = template.Library()

# A page is for reading; the API gives the whole value.
LONGEST_VALUE = 20_000
MOST_ROWS, MOST_COLUMNS = 100, 20
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
    """A list of objects as columns and rows; None for everything else."""
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return None
    columns = list(dict.fromkeys(name for row in value for name in row))[:MOST_COLUMNS]
    rows = [[row.get(name, "") for name in columns] for row in value[:MOST_ROWS]]
    return Table(columns, rows, max(0, len(value) - MOST_ROWS))


@register.filter
def rule_words(name: str) -> str:
    """`WaitForScheduledTime` as `Wait for scheduled time`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


@register.filter
def level_name(level: int) -> str:
    return next(name for floor, name in LEVELS if level >= floor)


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
