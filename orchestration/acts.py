"""On whose behalf something is changed. A leaf: entrances say who acts, and those who write say what they did.

There is no act while runs and agents report about themselves: asking for it is all that their transactions pay.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Note:
    """The change of one object of which no trigger keeps the rows; refused for a reason, if there is one."""

    kind: str
    id: object
    name: str = ""
    before: Mapping[str, Any] | None = field(default=None)
    after: Mapping[str, Any] | None = field(default=None)
    refused: str = ""


class Act(Protocol):
    """An operation of somebody, which is recorded with what it changes."""

    def transaction(self) -> AbstractContextManager[None]:
        """A write transaction whose changes are recorded before it commits."""

    def note(self, note: Note) -> None:
        """Record this with the present transaction."""


current_act: ContextVar[Act | None] = ContextVar("current_act", default=None)


def note(kind: str, id: object, **said: Any) -> None:
    """Say what was done to an object, if somebody acts. Called inside the transaction that does it."""
    if (act := current_act.get()) is not None:
        act.note(Note(kind, id, **said))


class Opener(Protocol):
    """Opens an act of somebody who comes through no entrance: an automation, say."""

    def __call__(self, *, entrance: str, actor: str, action: str, operation: str) -> AbstractContextManager[object]: ...


def _unrecorded(**_: str) -> AbstractContextManager[object]:
    return nullcontext()


# Set by the audit log when it is loaded.
opener: Opener = _unrecorded


def act_of(*, entrance: str, actor: str, action: str, operation: str) -> AbstractContextManager[object]:
    """Whatever is changed inside is recorded as this actor's."""
    return opener(entrance=entrance, actor=actor, action=action, operation=operation)
