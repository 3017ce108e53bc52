"""Whose rights something has that acts by itself. A leaf: entrances set who asks, and accounts judge."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from uuid import UUID

# The user who asks; None for the owner of the server, and where nobody asks.
asking_user: ContextVar[int | None] = ContextVar("asking_user", default=None)

# Why a user may not do an action to the row of a table, if there is a reason. Set by the accounts when they are loaded.
Judge = Callable[[int, str, str | None, UUID | None], str]
judges: list[Judge] = []


def refusal(author: int | None, action: str, table: str | None = None, row: UUID | None = None) -> str:
    """Return why this is refused to an author; empty if it is not. The owner of the server may do everything."""
    if author is None:
        return ""
    return next((reason for judge in judges if (reason := judge(author, action, table, row))), "")
