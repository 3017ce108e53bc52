"""The rights of things that act by themselves, such as schedules. A leaf module.

Code that receives requests sets `asker`, and the accounts app registers the functions that judge.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol
from uuid import UUID


class Asker(Protocol):
    """The sender of the current request."""

    @property
    def name(self) -> str: ...

    @property
    def user_id(self) -> int | None: ...

    @property
    def actions(self) -> Collection[str]: ...


# None outside requests: in services and automations.
asker: ContextVar[Asker | None] = ContextVar("asker", default=None)


def asking_user() -> int | None:
    """Return the user who sent the request; None for the owner of the server, and outside requests."""
    one = asker.get()
    return None if one is None else one.user_id


def may_everywhere(action: str) -> bool:
    """Whether the user who sent the request may do the action to all objects, as outside requests."""
    one = asker.get()
    return one is None or action in one.actions


def made_by() -> dict[str, Any] | None:
    """Return the user who sent the request as stored with objects; None for the owner of the server."""
    one = asker.get()
    if one is None or one.user_id is None:
        return None
    # Prefect's clients require a UUID.
    return {"id": str(UUID(int=one.user_id)), "type": "USER", "display_value": one.name}


# Stored where the owner of the server must be distinguished from an unknown author.
OWNER = {"id": None, "type": "OWNER", "display_value": "local owner"}


def user_in(made_by: Any) -> int | None:
    """Return the id of the user in a stored `made_by`; None if it is not a user."""
    is_user = isinstance(made_by, dict) and made_by.get("type") == "USER" and made_by.get("id")
    return UUID(made_by["id"]).int if is_user else None


# Returns the reason why a user may not do an action to a row of a table, or "". Registered by the accounts app.
Judge = Callable[[int, str, str | None, UUID | None], str]
judges: list[Judge] = []
# A context in which the user acts with the rights to these actions only.
Acting = Callable[[int, Sequence[str]], AbstractContextManager[None]]
acting: list[Acting] = []
# Returns the rows among these that the user may not act on, for a user who may act on some of them.
JudgeOfMany = Callable[[int, str, str, Sequence[UUID]], set[UUID]]
judges_of_many: list[JudgeOfMany] = []
# Returns the rows of a table with a column `author` whose authors may not do the action.
Sieve = Callable[[str, str], list[UUID]]
sieves: list[Sieve] = []


def refusal(author: int | None, action: str, table: str | None = None, row: UUID | None = None) -> str:
    """Return why the author may not do this, or "" if the author may. The owner of the server may do everything."""
    if author is None:
        return ""
    return next((reason for judge in judges if (reason := judge(author, action, table, row))), "")


@contextmanager
def acting_for(author: int | None, *actions: str) -> Iterator[None]:
    """Act as the author in the block, with the rights to these actions only. For the owner, nothing is set."""
    with ExitStack() as stack:
        if author is not None:
            for enter in acting:
                stack.enter_context(enter(author, actions))
        yield


def refused_among(author: int | None, action: str, table: str, rows: Sequence[UUID]) -> set[UUID]:
    """Return which of these rows an author, who may do this to some rows, may not do it to."""
    if author is None:
        return set()
    return {row for judge in judges_of_many for row in judge(author, action, table, rows)}


def refused_rows(action: str, table: str) -> list[UUID]:
    """Return the rows of a table to which their authors may not do this. One query if there are none."""
    return [row for sieve in sieves for row in sieve(action, table)]
