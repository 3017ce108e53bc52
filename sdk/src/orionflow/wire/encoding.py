"""Conversion of states and answers to and from JSON."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from orionflow.errors import UnserializableError
from orionflow.recordable import LONGEST_MESSAGE, as_text
from orionflow.recordable import clean_text as clean_text
from orionflow.states import State, StateDetails, StateType


def encode(body: object) -> bytes:
    """Return the JSON of a request; raise UnserializableError if it cannot be sent."""
    try:
        return to_json(body)
    except PydanticSerializationError as error:
        raise UnserializableError(f"A value cannot be sent to the API as JSON: {error}.") from None


def read_answer(kind: Any, content: bytes) -> Any:
    """Return the typed value of an answer's JSON."""
    return _adapter(kind).validate_json(content)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def prepare_for(*kinds: Any) -> None:
    """Build the validators of these answers now, before a fork makes each child build them."""
    for kind in kinds:
        with suppress(ValidationError):
            _adapter(kind).validate_json(b"null")


def state_to_wire(state: State[Any]) -> dict[str, Any]:
    """Encode a state for the API; unset fields are left out."""
    wire: dict[str, Any] = {"type": state.type, "name": state.name}
    if state.message is not None:
        wire["message"] = clean_text(as_text(state.message), LONGEST_MESSAGE)
    if state.data is not None:
        wire["data"] = state.data
    if details := state.state_details.given_fields():
        wire["state_details"] = details
    if state.timestamp is not None:
        wire["timestamp"] = state.timestamp
    if state.id is not None:
        wire["id"] = state.id
    return wire


def state_from_wire(wire: dict[str, Any]) -> State[Any]:
    """Return the state in an answer. Written by hand, as it is called for every run and needs no validator."""
    return State(
        type=StateType(wire["type"]),
        name=wire.get("name") or "",
        message=wire.get("message"),
        data=wire.get("data"),
        state_details=StateDetails.from_json(wire.get("state_details") or {}),
        timestamp=_moment(wire.get("timestamp")),
        id=_uuid(wire.get("id")),
    )


def _moment(value: str | datetime | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _uuid(value: str | UUID | None) -> UUID | None:
    return UUID(value) if isinstance(value, str) else value
