"""Races: the same work in several threads that start together, or one that acts in the midst of another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connection

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
