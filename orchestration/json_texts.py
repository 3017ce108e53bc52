"""JSON that a user wrote by hand, validated like JSON in API requests, so that both databases can store it."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json

from orionflow.contract.wire import storable

NUL = "Text must not contain the character NUL."


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON. In Python, 1 equals true, also within lists and objects."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def read_json(text: str) -> Any:
    """Return the value. Raises ValueError with a message for the user who wrote the text."""
    if "\x00" in text or "\\u0000" in text:
        raise ValueError(NUL)
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"This is not JSON: {error}. Texts stand between double quotes.") from None
    try:
        return storable(value)
    except ValueError as error:
        raise ValueError(f"{error}.") from None
