"""Rows that a service works on one by one: an error with one of them does not keep the others from their turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from django.db import IntegrityError, OperationalError, transaction

from orchestration.outages import is_outage
from orchestration.transactions import is_disk_full

logger = logging.getLogger("orion.services")
T = TypeVar("T")
Key = TypeVar("Key", UUID, tuple[datetime, UUID])

# invalid_transaction_state: the database is read-only, or has closed the connection.
UNUSABLE_CLASS = "25"


class FirstError:
    """Logs the errors with single rows, and keeps the first one for the record of the service."""

    def __init__(self) -> None:
        self._first: Exception | None = None

    @contextmanager
    def of_one(self, row: str) -> Iterator[None]:
        """Keep an error that is raised inside. An error that every row would meet is raised at once."""
        try:
            yield
        except Exception as error:
            if concerns_every_row(error):
                raise
            self._keep(row, error)

    @contextmanager
    def of_one_in_transaction(self, row: str) -> Iterator[None]:
        """Keep an error that is raised inside, and undo what was written for this row alone.

        A conflict with another transaction is raised, as the caller repeats the whole transaction.
        """
        try:
            with transaction.atomic():
                yield
        except (OperationalError, IntegrityError):
            raise
        except Exception as error:
            if concerns_every_row(error):
                raise
            self._keep(row, error)

    def _keep(self, row: str, error: Exception) -> None:
        logger.warning("%s: %s: %s", row, type(error).__name__, error)
        self._first = self._first or error

    @property
    def is_any(self) -> bool:
        return self._first is not None

    def raise_any(self) -> None:
        """Raise the first error, after all rows had their turn."""
        if self._first is not None:
            raise self._first


def concerns_every_row(error: Exception) -> bool:
    """Whether the database would refuse all other rows as well, perhaps each of them after a wait."""
    if is_outage(error) or is_disk_full(error):
        return True
    code = getattr(error.__cause__, "sqlstate", None)
    # SQLite has no codes. It is locked: some other program has been writing for longer than a writer waits.
    return isinstance(error, OperationalError) if code is None else code.startswith(UNUSABLE_CLASS)


def work_on_each(rows: Iterable[T], work: Callable[[T], int], kind: str) -> int:
    """Return the sum of what `work` returns for each row. The first error is raised after all had their turn."""
    done, first = 0, FirstError()
    for row in rows:
        with first.of_one(f"{kind} {row}"):
            done += work(row)
    first.raise_any()
    return done


class Turns(Generic[Key]):
    """Remembers which rows had their turn, if they are too many for one tick.

    Otherwise rows that stay as they are, for example because of an error, would keep those behind them from their turn.
    """

    def __init__(self) -> None:
        self._last: Key | None = None

    def next_of(self, keys: Sequence[Key], most: int) -> list[Key]:
        """Return the next of these keys, which are in order, and after the last one the first ones again."""
        return self.next_ones(lambda last, most: [key for key in keys if last is None or key > last][:most], most)

    def next_ones(self, read: Callable[[Key | None, int], list[Key]], most: int) -> list[Key]:
        """Return the next keys. `read` returns those after a key, or from the first one on, at most so many."""
        keys = read(self._last, most)
        if self._last is not None and len(keys) < most:
            keys = list(dict.fromkeys(keys + read(None, most - len(keys))))
        self._last = keys[-1] if len(keys) == most else None
        return keys
