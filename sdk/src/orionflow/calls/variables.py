"""Calls about variables: texts that programs read by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from orionflow.calls import Call

Stored = dict[str, Any]


def read_variable(name: str) -> Call[Stored]:
    """The variable of a name."""
    return Call("GET", _path(name), read=Stored)


def create_variable(name: str, value: str, tags: Sequence[str]) -> Call[Stored]:
    """A new variable. The API answers Conflict when there is one of the name."""
    return Call("POST", "/variables/", {"name": name, "value": value, "tags": list(tags)}, read=Stored)


def update_variable(name: str, value: str, tags: Sequence[str] | None) -> Call[None]:
    """Another value for a variable; its tags stay where none are given."""
    return Call("PATCH", _path(name), {"value": value, **({} if tags is None else {"tags": list(tags)})})


def _path(name: str) -> str:
    return f"/variables/name/{quote(name, safe='')}"
