"""The base class of typed answers, and field types that several of them share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from orionflow.contract.wire import Answer as Answer
from orionflow.contract.wire import Details as Details
from orionflow.contract.wire import Names as Names
from orionflow.contract.wire import Stored as Stored
from orionflow.states import State
from orionflow.wire.encoding import state_from_wire, state_to_wire


def _state_or_none(value: State[Any] | dict[str, Any] | None) -> State[Any] | None:
    return state_from_wire(value) if isinstance(value, dict) else value


def _wire_or_none(state: State[Any] | None) -> dict[str, Any] | None:
    return None if state is None else state_to_wire(state)


StateList = list[Annotated[State[Any], PlainValidator(state_from_wire)]]
AnyState = Annotated[State[Any] | None, PlainValidator(_state_or_none), PlainSerializer(_wire_or_none)]
