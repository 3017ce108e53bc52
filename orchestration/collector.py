"""Python's collector of cyclic garbage, paused while a large request is processed.

A batch of a thousand steps creates some ten thousand objects that live as long as the request, none of them in cycles.
The collector would search them, and from time to time everything else in the process, and find nothing, at a quarter of
the cost of recording a task. Objects that are no longer used are still freed by their reference count.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class _Pause:
    """The lock that is held while this module has switched the collector off."""

    def __init__(self) -> None:
        self.held = Lock()

    def after_fork(self) -> None:
        # The thread that would end the pause does not exist in the child.
        if self.held.locked():
            self.held = Lock()
            gc.enable()


# Python 3.12 freezes a few hundred objects itself as it starts. A program that freezes any has thousands.
_MOST_FROZEN_BY_PYTHON = 1000

_pause = _Pause()
os.register_at_fork(after_in_child=_pause.after_fork)


def settle() -> None:
    """Count every object as old, so that the collector does not search those that were just loaded.

    Their first search would take as long as a hundred tasks. It is done at the next full collection.
    """
    if gc.get_freeze_count() <= _MOST_FROZEN_BY_PYTHON:
        gc.freeze()
        gc.unfreeze()


@contextmanager
def collection_put_off() -> Iterator[None]:
    """Collect no cyclic garbage in the block.

    Overlapping blocks do not add up: the first one that ends switches the collector on, so that a busy server collects
    between its requests. If the program itself switched the collector off, it stays off.
    """
    held = _pause.held
    if not gc.isenabled() or not held.acquire(blocking=False):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        held.release()
