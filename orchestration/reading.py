"""Which database is read: the primary, unless the caller allows an answer that lags behind it.

A leaf. `orion_site.database.replica` alone decides; statements outside of the ORM get their connection here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

REPLICA = "replica"
_may_lag: ContextVar[bool] = ContextVar("orion_may_lag", default=False)


class MustNotLag(Exception):
    """The row on the replica must not be shown in a state of some seconds ago; the primary must be read."""


@contextmanager
def from_the_replica() -> Iterator[None]:
    """Allow reads in the block to lag."""
    token = _may_lag.set(True)
    try:
        yield
    finally:
        _may_lag.reset(token)


def alias() -> str:
    """Return the name of the database to read from. In a transaction it is the primary, to read one's own writes."""
    return REPLICA if _may_lag.get() and not connections[DEFAULT_DB_ALIAS].in_atomic_block else DEFAULT_DB_ALIAS


def refuse_lag() -> None:
    """Raise MustNotLag unless the primary is read."""
    if alias() == REPLICA:
        raise MustNotLag


def reader() -> BaseDatabaseWrapper:
    """Return the connection for the raw statements of selectors for lists and charts."""
    return connections[alias()]


def unconverted(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """Return rows as the driver returns them: converting ids, times and JSON of thousands takes longer than reading.

    `orchestration.tables.dialect` reads single values.
    """
    try:
        sql, params = rows.query.sql_with_params()
    # Django knows without asking that no row matches, as for IN with an empty list.
    except EmptyResultSet:
        return []
    with reader().cursor() as cursor:
        cursor.execute(sql, params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
