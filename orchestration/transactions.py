"""Where writes happen: one short transaction, queued fairly on SQLite, repeated when PostgreSQL asks for it.

On SQLite a transaction begins IMMEDIATE behind the fair gate of `orion_site.database.sqlite`; on PostgreSQL it is
READ COMMITTED and rows are locked one by one. No HTTP, template or broker inside.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import IntegrityError, OperationalError, close_old_connections, connection, transaction

from orchestration.acts import current_act
from orchestration.sight import current_sight, seeing_all_within

P = ParamSpec("P")
R = TypeVar("R")

# serialization_failure and deadlock_detected: the database promises that a repeat may succeed.
REPEATABLE = frozenset({"40001", "40P01"})
REPEATS = 3
# idle_in_transaction_session_timeout, and transaction_timeout: Django takes neither for an operational error.
PAUSED_TOO_LONG = frozenset({"25P03", "25P04"})
# disk_full; and what SQLite says when its file, its log or the index of that cannot grow.
NO_ROOM = frozenset({"53100", "SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})


def write_transaction() -> AbstractContextManager[None]:
    act = current_act.get()
    begun = transaction.atomic() if act is None else act.transaction()
    # Rules count also what whoever asks does not see.
    return begun if current_sight.get() is None else seeing_all_within(begun)


def repeated_on_conflict(work: Callable[P, R]) -> Callable[P, R]:
    """Run a whole write transaction again, up to three times, when another one got in its way.

    That another one may also have written the same row a moment earlier: the repeat then finds it. Inside an outer
    transaction there is nothing to repeat; the error belongs to whoever opened that.
    """

    @wraps(work)
    def repeating(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(1, REPEATS + 1):
            try:
                return work(*args, **kwargs)
            except (OperationalError, IntegrityError) as error:
                if attempt == REPEATS or connection.in_atomic_block or not _is_conflict(error):
                    raise
                time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    return repeating


def _is_conflict(error: Exception) -> bool:
    return isinstance(error, IntegrityError) or getattr(error.__cause__, "sqlstate", None) in REPEATABLE


def is_cut_off(error: BaseException) -> bool:
    """Whether the database ended the connection of a transaction that paused too long."""
    return getattr(error.__cause__, "sqlstate", None) in PAUSED_TOO_LONG


def is_disk_full(error: BaseException) -> bool:
    """Whether the database refused because there is no room below it. What it has already, it can still read."""
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) in NO_ROOM or getattr(cause, "sqlite_errorname", None) in NO_ROOM


def with_usable_connection(call: Callable[[], R]) -> R:
    """Call in a thread that outlives its connection: one that the database has closed is made again."""
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()
