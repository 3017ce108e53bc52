"""Calls about variables: texts that programs read by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orionflow import contract
from orionflow.calls import Call, Collection, body, names

if TYPE_CHECKING:
    from orionflow.contract.blocks import Variable

VARIABLES: Collection[Variable] = Collection("/variables", lambda: contract.blocks.Variable, key="name", below="/name/")


def read_variable(name: str) -> Call[Variable]:
    """Read the variable of a name."""
    return VARIABLES.read(name)


def create_variable(name: str, value: str, tags: Sequence[str]) -> Call[Variable]:
    """A new variable. The API answers Conflict when there is one of the name."""
    sent = body(contract.blocks.VariableCreate, name=name, value=value, tags=names(tags))
    return VARIABLES.create(sent)


def update_variable(name: str, value: str, tags: Sequence[str] | None) -> Call[None]:
    """Another value for a variable; its tags stay where none are given."""
    return VARIABLES.update(name, body(contract.blocks.VariableUpdate, value=value, tags=names(tags)))
