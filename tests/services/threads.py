"""Races: the same work in several threads that start together, or one that acts in the midst of another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connection

from orchestration.errors import DomainError

T = TypeVar("T")
R = TypeVar("R")


def race(work: Callable[[T], R], arguments: Iterable[T]) -> list[R]:
    """Call `work` with all arguments at once, in threads with a connection each. Return the results.

    The first error is raised.
    """
    every = list(arguments)
    start = threading.Barrier(len(every))

    def run(argument: T) -> R:
        try:
            start.wait(timeout=10)
            return work(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(every)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, argument) for argument in every]]


def interleaved(part: str, first: Callable[[], object], second: Callable[[], object]) -> list[DomainError | None]:
    """Have another thread do `second` before the first statement of `first` that contains `part`. Return the refusals.

    `first` continues as soon as the other thread has ended, or waits for a lock of PostgreSQL.
    """

    def refusal(work: Callable[[], object]) -> DomainError | None:
        try:
            work()
        except DomainError as error:
            return error
        return None

    def in_other_thread() -> DomainError | None:
        try:
            return refusal(second)
        finally:
            connection.close()

    futures: list[Future[DomainError | None]] = []

    def begin_second() -> None:
        futures.append(pool.submit(in_other_thread))
        until = time.monotonic() + 10
        while not futures[0].done() and not _somebody_waits() and time.monotonic() < until:
            time.sleep(0.005)

    with ThreadPoolExecutor(1) as pool, before_statement(part, begin_second):
        return [refusal(first), *(future.result(timeout=60) for future in futures)]


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        return cursor.fetchone() is not None


@contextmanager
def before_statement(part: str, act: Callable[[], object]) -> Iterator[None]:
    """Call `act`, as another process would, before the first statement that contains `part`."""
    acted = False

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal acted
        if part in sql and not acted:
            acted = True
            act()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield
    assert acted
