"""Whose rights something has that acts by itself. A leaf: entrances set who asks, and accounts judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol
from uuid import UUID


class Asker(Protocol):
    """Whoever sent the request that is being answered."""

    @property
    def name(self) -> str: ...

    @property
    def user_id(self) -> int | None: ...


# None where nobody asks: services and automations.
asker: ContextVar[Asker | None] = ContextVar("asker", default=None)


def asking_user() -> int | None:
    """The user who asks; None for the owner of the server, and where nobody asks."""
    one = asker.get()
    return None if one is None else one.user_id


def made_by() -> dict[str, Any] | None:
    """The user who asks, as it is stored with what is made or changed; None for the owner of the server."""
    one = asker.get()
    if one is None or one.user_id is None:
        return None
    # Prefect's clients want an id of this form.
    return {"id": str(UUID(int=one.user_id)), "type": "USER", "display_value": one.name}


# As what is stored where the owner of the server must be told from nobody.
OWNER = {"id": None, "type": "OWNER", "display_value": "local owner"}


def user_in(made_by: Any) -> int | None:
    """The user whom `made_by` stored, if it was one."""
    is_user = isinstance(made_by, dict) and made_by.get("type") == "USER" and made_by.get("id")
    return UUID(made_by["id"]).int if is_user else None


# Why a user may not do an action to the row of a table, if there is a reason. Set by the accounts when they are loaded.
Judge = Callable[[int, str, str | None, UUID | None], str]
judges: list[Judge] = []
# Lets what is done within be done by a user's rights to these actions, and by no others.
Acting = Callable[[int, Sequence[str]], AbstractContextManager[None]]
acting: list[Acting] = []
# Which of these rows a user may not do an action to, who may do it to some of them.
JudgeOfMany = Callable[[int, str, str, Sequence[UUID]], set[UUID]]
judges_of_many: list[JudgeOfMany] = []
# The rows of a table, with a column `author`, to which their authors may not do an action.
Sieve = Callable[[str, str], list[UUID]]
sieves: list[Sieve] = []


def refusal(author: int | None, action: str, table: str | None = None, row: UUID | None = None) -> str:
    """Return why this is refused to an author; empty if it is not. The owner of the server may do everything."""
    if author is None:
        return ""
    return next((reason for judge in judges if (reason := judge(author, action, table, row))), "")


@contextmanager
def acting_for(author: int | None, *actions: str) -> Iterator[None]:
    """Within it, it is the author who asks, with the rights to these actions alone; for the owner, nobody asks."""
    with ExitStack() as stack:
        if author is not None:
            for enter in acting:
                stack.enter_context(enter(author, actions))
        yield


def refused_among(author: int | None, action: str, table: str, rows: Sequence[UUID]) -> set[UUID]:
    """Which of these rows an author may not do this to, who may do it to some."""
    if author is None:
        return set()
    return {row for judge in judges_of_many for row in judge(author, action, table, rows)}


def refused_rows(action: str, table: str) -> list[UUID]:
    """The rows of a table to which their authors may not do this; one query if there is none."""
    return [row for sieve in sieves for row in sieve(action, table)]
