"""What the typed values of answers have in common, and the kinds of fields that several of them have."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, PlainValidator

from orionflow.states import State
from orionflow.wire.encoding import state_from_wire, state_to_wire


def _state_or_none(value: State[Any] | dict[str, Any] | None) -> State[Any] | None:
    return state_from_wire(value) if isinstance(value, dict) else value


def _wire_or_none(state: State[Any] | None) -> dict[str, Any] | None:
    return None if state is None else state_to_wire(state)


StateList = list[Annotated[State[Any], PlainValidator(state_from_wire)]]
AnyState = Annotated[State[Any] | None, PlainValidator(_state_or_none), PlainSerializer(_wire_or_none)]
Details = Annotated[dict[str, Any], BeforeValidator(lambda value: value or {})]
Names = Annotated[list[str], BeforeValidator(lambda value: value or [])]


class Answer(BaseModel):
    """What all answers share: unknown fields are ignored and nothing is written into them."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore", protected_namespaces=())


class Stored(Answer):
    """A row with an id and its times."""

    id: UUID
    created: datetime | None = None
    updated: datetime | None = None
