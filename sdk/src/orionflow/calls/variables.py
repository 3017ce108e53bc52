"""Calls about variables: texts that programs read by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from orionflow import contract
from orionflow.calls import Call, body, names

if TYPE_CHECKING:
    from orionflow.contract.blocks import Variable


def read_variable(name: str) -> Call[Variable]:
    """The variable of a name."""
    return Call("GET", _path(name), read=contract.blocks.Variable)


def create_variable(name: str, value: str, tags: Sequence[str]) -> Call[Variable]:
    """A new variable. The API answers Conflict when there is one of the name."""
    sent = body(contract.blocks.VariableCreate, name=name, value=value, tags=names(tags))
    return Call("POST", "/variables/", sent, read=contract.blocks.Variable)


def update_variable(name: str, value: str, tags: Sequence[str] | None) -> Call[None]:
    """Another value for a variable; its tags stay where none are given."""
    return Call("PATCH", _path(name), body(contract.blocks.VariableUpdate, value=value, tags=names(tags)))


def _path(name: str) -> str:
    return f"/variables/name/{quote(name, safe='')}"
