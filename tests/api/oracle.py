"""The filter language once more, in plain Python over plain values: what the database must agree with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]


def matches(row: Row, filter: Mapping[str, Any]) -> bool:
    """Whether a run with these values is one that `filter` asks for."""
    asked = {name: value for name, value in filter.items() if name != "operator" and value is not None}
    return _combined(filter, [_leaf(name, row, leaf) for name, leaf in asked.items()])


def _combined(filter: Mapping[str, Any], answers: list[bool]) -> bool:
    if not answers:
        return True
    return any(answers) if filter.get("operator") == "or_" else all(answers)


def _leaf(name: str, row: Row, leaf: Mapping[str, Any]) -> bool:
    if name == "state":
        parts = [_leaf(f"state_{part}", row, leaf[part]) for part in ("type", "name") if leaf.get(part) is not None]
        return _combined(leaf, parts)
    if name == "flow_run_id" and leaf.get("is_null_"):
        return row[name] is None
    if name == "flow_run_id":
        leaf = {key: value for key, value in leaf.items() if key != "is_null_"}
    asked = {key: value for key, value in leaf.items() if key != "operator" and value is not None}
    return _combined(leaf, [OPERATORS[key](row[name], value) for key, value in asked.items()])


def like(value: str | None, pattern: str) -> bool:
    if value is None:
        return False
    translated = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.search(translated, value, re.IGNORECASE | re.DOTALL) is not None


def moment(text: str) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _is_null(value: Any, wanted: bool) -> bool:
    # An empty list of tags counts as null.
    return (value is None or value == []) == wanted


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "any_": lambda value, wanted: value is not None and value in wanted,
    "not_any_": lambda value, unwanted: value is not None and value not in unwanted,
    "like_": like,
    "all_": lambda value, wanted: set(wanted) <= set(value),
    "is_null_": _is_null,
    "before_": lambda value, text: value is not None and value <= moment(text),
    "after_": lambda value, text: value is not None and value >= moment(text),
}


def matching_ids(rows: Iterable[Row], filter: Mapping[str, Any]) -> set[str]:
    return {row["id"] for row in rows if matches(row, filter)}
