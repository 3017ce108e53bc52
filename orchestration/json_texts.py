"""JSON that somebody wrote by hand, held to what the API holds it to: both databases can store it."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from orionflow.contract.wire import storable

NUL = "Text must not contain the character NUL."


def read_json(text: str) -> Any:
    """Return the value. Raises ValueError, with words for whoever wrote it."""
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
