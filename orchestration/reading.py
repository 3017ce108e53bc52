"""Which database is read here: the primary, unless whoever asked said that the answer may lag behind it.

A leaf. `orion_site.database.replica` alone decides; statements that pass by the ORM ask for their connection here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

REPLICA = "replica"
_may_lag: ContextVar[bool] = ContextVar("orion_may_lag", default=False)


class MustNotLag(Exception):
    """The row that was found on the replica must not be shown as it was some seconds ago: the primary is asked."""


@contextmanager
def from_the_replica() -> Iterator[None]:
    """Within it what is read may lag."""
    token = _may_lag.set(True)
    try:
        yield
    finally:
        _may_lag.reset(token)


def alias() -> str:
    """The name of the database to read from. Whoever has begun to write reads what is being written."""
    return REPLICA if _may_lag.get() and not connections[DEFAULT_DB_ALIAS].in_atomic_block else DEFAULT_DB_ALIAS


def refuse_lag() -> None:
    """Have the primary asked, if it is not asked already. Raises MustNotLag."""
    if alias() == REPLICA:
        raise MustNotLag


def reader() -> BaseDatabaseWrapper:
    """The connection for statements of selectors that lists and charts are made of."""
    return connections[alias()]
