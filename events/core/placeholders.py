"""Texts of automations: `{{ flow_run.name }}` is filled in with what the event is about. No expressions, no calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"\s*[A-Za-z_]\w*(?:\.\w+|\[\s*(?:'[^']*'|\"[^\"]*\")\s*\])*\s*")
_STEP = re.compile(r"\.?(\w+)|\[\s*(?:'([^']*)'|\"([^\"]*)\")\s*\]")


@dataclass(frozen=True, slots=True)
class Misplaced:
    """What is wrong with a text, and in which of its lines."""

    line: int
    message: str


def misplaced(text: str) -> Misplaced | None:
    """The first place of a text that cannot be filled in."""
    for place in _PLACE.finditer(text):
        if not _PATH.fullmatch(place[1]):
            reason = f"{place[0]!r} is not a place such as {{{{ flow_run.name }}}}; expressions are not known here"
            return Misplaced(_line(text, place.start()), reason)
    rest = _PLACE.sub("", text)
    for sign in ("{{", "}}", "{%"):
        if sign in rest:
            return Misplaced(_line(text, text.find(sign)), f"{sign!r} is not part of a place")
    return None


def fill_in(text: str, values: Mapping[str, Any]) -> str:
    """The text with its places filled; what there is nothing for stays empty."""
    return _PLACE.sub(lambda place: _value(place[1], values) if _PATH.fullmatch(place[1]) else place[0], text)


def _value(path: str, values: Any) -> str:
    for step in _STEP.finditer(path.strip()):
        name = next(part for part in step.groups() if part is not None)
        values = values.get(name) if isinstance(values, Mapping) else None
    return "" if values is None else str(values)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, max(position, 0)) + 1
