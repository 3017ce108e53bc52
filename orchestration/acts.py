"""Record on whose behalf something is changed. A leaf: entrances set the act, and code that writes adds notes to it.

No act is set while runs and agents report about themselves: their transactions only pay for checking whether there
is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Note:
    """A change of one object whose rows no trigger records. `refused` is the reason if the change was refused."""

    kind: str
    id: object
    name: str = ""
    before: Mapping[str, Any] | None = field(default=None)
    after: Mapping[str, Any] | None = field(default=None)
    refused: str = ""


class Act(Protocol):
    """An operation of a user or an automation, recorded together with the changes that it makes."""

    def transaction(self) -> AbstractContextManager[None]:
        """Return a write transaction whose changes are recorded before it commits."""

    def note(self, note: Note) -> None:
        """Record the note with the current transaction."""


current_act: ContextVar[Act | None] = ContextVar("current_act", default=None)


def note(kind: str, id: object, **details: Any) -> None:
    """Note a change of an object if there is an act. Call it inside the transaction that makes the change."""
    if (act := current_act.get()) is not None:
        act.note(Note(kind, id, **details))


class Opener(Protocol):
    """Opens an act for an actor that does not come through an entrance, such as an automation."""

    def __call__(self, *, entrance: str, actor: str, action: str, operation: str) -> AbstractContextManager[object]: ...


def _unrecorded(**_: str) -> AbstractContextManager[object]:
    return nullcontext()


# Set by the audit log when it is loaded.
opener: Opener = _unrecorded


def act_of(*, entrance: str, actor: str, action: str, operation: str) -> AbstractContextManager[object]:
    """Record everything that is changed in the block as done by this actor."""
    return opener(entrance=entrance, actor=actor, action=action, operation=operation)
