"""Races: the same work in several threads that start together, each with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

T = TypeVar("T")
R = TypeVar("R")


def race(work: Callable[[T], R], arguments: Iterable[T]) -> list[R]:
    """Call `work` with all arguments at once and return the results; the first error is raised."""
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
