"""The fields of an entry as pages show them, before and after."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

# The fields of an author, as `orchestration.authors` stores them.
_AUTHOR = {"id", "type", "display_value"}
# The most characters of a value, and of the beginning of one that was too long to be recorded.
LONGEST, _BEGINNING = 200, 60
_SHORTENED = re.compile(r"… \(([\d,]+ characters, SHA-256 [0-9a-f]{12})[0-9a-f]+\)$")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an entry, before and after."""

    name: str
    before: str
    after: str


def values_of(text: str) -> dict[str, Any]:
    """Return the values before or after a change, those of parts of the object under a name of their own."""
    found = json.loads(text) if text else {}
    return _flat(found) if isinstance(found, dict) else {}


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an object and of its parts, which are stored under kind and id of the part."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        kind, _, id = name.partition(" ")
        if id and isinstance(value, dict):
            flat |= {f"{kind} {id[:8]}: {inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat


def shown(value: Any, name: str) -> str:
    """Return a value as text, cut if it is long."""
    if value is None:
        return ""
    if name == "state" and isinstance(value, str):
        # Type and name of a state; if there is a name, it says more.
        return value.partition(" ")[2] or value.capitalize()
    if isinstance(value, dict) and value.keys() == _AUTHOR:
        value = value["display_value"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Long values often begin alike; their hash shows that they differ.
    if was_long := _SHORTENED.search(text):
        return f"{text[:_BEGINNING]}… ({was_long[1]}…)"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
