"""Refuse names that new objects may not have. An object keeps an older name for as long as it is not renamed.

Every service that creates or renames an object calls this. Requests, forms and programs need not check; forms do, to
show the reason beside the field.
"""

from __future__ import annotations

from typing import Protocol

from orchestration.errors import UnreadableName
from orionflow.contract.names import control_in, deception_in, fault_of


class Rows(Protocol):
    def exists(self) -> bool: ...


def refuse_unreadable(name: str | None, *, unless: Rows | None = None) -> None:
    """Raise UnreadableName for a name that people cannot read, unless these rows exist, which have it already."""
    _refuse(fault_of(name or ""), "name", unless)


def refuse_deceptive(name: str, *, unless: Rows | None = None) -> None:
    """Raise UnreadableName for invisible characters in a name that a program gives: of a flow, an agent, a block type.

    Odd spaces pass, because a refusal would fail a program that runs elsewhere.
    """
    _refuse(deception_in(name), "name", unless)


def refuse_control_in_tag(tag: str, *, unless: Rows) -> None:
    """Raise UnreadableName for control characters. Runs have tags of any other text, and a limit names one of them."""
    _refuse(control_in(tag), "tag", unless)


def _refuse(fault: str | None, field: str, unless: Rows | None) -> None:
    if fault and not (unless is not None and unless.exists()):
        raise UnreadableName(fault=fault, place=(field,))
