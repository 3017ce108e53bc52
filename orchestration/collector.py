"""Python's collector of cyclic garbage, put off while a large request is worked on.

A batch of a thousand steps makes some ten thousand objects that live as long as it does, and none in cycles. The
collector would look through all of them, and from time to time through everything else in the process, to find
nothing: a quarter of what it costs to record a task. What is no longer used is freed by its reference count, as always.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class _Pause:
    """Whether this module has switched the collector off."""

    def __init__(self) -> None:
        self.held = Lock()

    def after_fork(self) -> None:
        # The thread that would end the pause was not copied.
        if self.held.locked():
            self.held = Lock()
            gc.enable()


_pause = _Pause()
os.register_at_fork(after_in_child=_pause.after_fork)


@contextmanager
def collection_put_off() -> Iterator[None]:
    """Collect no cyclic garbage in the block.

    Blocks that overlap do not add up: the first one that ends switches the collector on, so that a busy server collects
    between its requests. A collector that the program switched off stays off.
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
