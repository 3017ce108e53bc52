"""Write transactions: one short transaction, queued fairly on SQLite, repeated on PostgreSQL after a conflict.

On SQLite a transaction begins IMMEDIATE behind the fair gate of `orion_site.database.sqlite`; on PostgreSQL it is READ
COMMITTED, and rows are locked one by one. Inside, nothing calls HTTP, templates or the broker.
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

# serialization_failure and deadlock_detected: PostgreSQL documents that a repeat may succeed.
REPEATABLE = frozenset({"40001", "40P01"})
REPEATS = 3
# idle_in_transaction_session_timeout and transaction_timeout. Django does not map them to OperationalError.
PAUSED_TOO_LONG = frozenset({"25P03", "25P04"})
# disk_full; and SQLite's codes if its file, its log or the index of the log cannot grow.
NO_ROOM = frozenset({"53100", "SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})


def write_transaction() -> AbstractContextManager[None]:
    act = current_act.get()
    begun = transaction.atomic() if act is None else act.transaction()
    # Rules also count rows that the user does not see.
    return begun if current_sight.get() is None else seeing_all_within(begun)


def repeated_on_conflict(work: Callable[P, R]) -> Callable[P, R]:
    """Repeat a whole write transaction, up to three attempts in all, if another transaction got in its way.

    The other transaction may also have inserted the same row a moment earlier; the repeat then finds it. Inside an
    outer transaction nothing is repeated: the error is passed to the code that opened it.
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
    """Whether the database closed the connection because a transaction was idle or took too long."""
    return getattr(error.__cause__, "sqlstate", None) in PAUSED_TOO_LONG


def is_disk_full(error: BaseException) -> bool:
    """Whether the database refused a write because its disk is full. Reads may still work."""
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) in NO_ROOM or getattr(cause, "sqlite_errorname", None) in NO_ROOM


def with_usable_connection(call: Callable[[], R]) -> R:
    """Run `call` in a thread that outlives its connection: a connection that the database has closed is replaced."""
    close_old_connections()
    try:
        return call()
    finally:
        close_old_connections()
