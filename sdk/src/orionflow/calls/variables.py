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
    """Read a variable by its name."""
    return VARIABLES.read(name)


def create_variable(name: str, value: str, tags: Sequence[str]) -> Call[Variable]:
    """Create a variable. The API answers with a conflict if one of that name exists."""
    sent = body(contract.blocks.VariableCreate, name=name, value=value, tags=names(tags))
    return VARIABLES.create(sent)


def update_variable(name: str, value: str, tags: Sequence[str] | None) -> Call[None]:
    """Change the value of a variable; its tags are kept if none are given."""
    return VARIABLES.update(name, body(contract.blocks.VariableUpdate, value=value, tags=names(tags)))
