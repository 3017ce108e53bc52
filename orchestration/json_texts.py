"""JSON that a user wrote by hand, validated like JSON in API requests, so that both databases can store it."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic_core import from_json

from orionflow.contract.wire import storable

# An escaped NUL. A backslash before it must not itself be escaped: `\\u0000` with two of them is the plain text.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
NUL = "Text must not contain the character NUL."


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON. In Python, 1 equals true, also within lists and objects."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def read_json(text: str) -> Any:
    """Return the value. Raises ValueError with a message for the user who wrote the text."""
    if "\x00" in text or _NUL.search(text):
        raise ValueError(NUL)
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"This is not JSON: {error}. Texts stand between double quotes.") from None
    if why := why_not_storable(value):
        raise ValueError(why)
    return value


def read_json_object(text: str) -> dict[str, Any]:
    """Return the members; none for an empty text. Raises ValueError as `read_json` does."""
    value = read_json(text or "{}")
    if not isinstance(value, dict):
        raise ValueError("Write a JSON object: { … }.")
    return value


def why_not_storable(value: Any) -> str:
    """Return why the API would refuse a value of JSON; nothing if both databases can store it."""
    try:
        storable(value)
    except ValueError as error:
        return f"{error}."
    return ""
