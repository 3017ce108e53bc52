"""Bounded pools of persistent threads for Django: a request creates neither a thread nor a database connection.

Transitions have a pool of their own, so that runs can report while many pages are read.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

from orchestration.measured import Distribution

P = ParamSpec("P")
T = TypeVar("T")

# The pools of this process, for metrics.
pools: WeakSet[BoundedPool] = WeakSet()


class BoundedPool:
    """A few threads, and a limit on the requests that run or wait for one."""

    def __init__(self, name: str, *, threads: int, in_flight: int) -> None:
        self.name, self.threads = name, threads
        # How long requests waited for a thread, how long they used it, and how many were refused.
        self.waited, self.worked = Distribution(), Distribution()
        self.refused = 0
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"orion-{name}")
        self._limit = in_flight
        # One sender cannot use the whole limit: the server would then be busy for all others.
        self._limit_of_one = max(1, in_flight * 3 // 4)
        self._admitted = 0
        self._is_closed = False
        self._admitted_of = Counter[bytes]()
        self._changed = Condition()
        pools.add(self)

    @property
    def admitted(self) -> int:
        return self._admitted

    @property
    def limit(self) -> int:
        return self._limit

    def admit(self, who: bytes = b"") -> bool:
        """Admit another request of a sender, until `leave`. Return False if there are too many, or after `close`."""
        with self._changed:
            if (
                self._is_closed
                or self._admitted >= self._limit
                or (who and self._admitted_of[who] >= self._limit_of_one)
            ):
                self.refused += 1
                return False
            self._admitted += 1
            self._admitted_of[who] += 1
            return True

    def keep(self, who: bytes, until: Future[Any]) -> None:
        """Count a request that no longer needs a thread until the future is done."""
        with self._changed:
            self._admitted += 1
            self._admitted_of[who] += 1
        until.add_done_callback(lambda _: self.leave(who))

    def leave(self, who: bytes = b"") -> None:
        with self._changed:
            self._admitted -= 1
            self._admitted_of[who] -= 1
            if not self._admitted_of[who]:
                del self._admitted_of[who]
            self._changed.notify_all()

    def start(self, who: bytes, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Run `work` on a thread, and leave when it ends, even if the caller no longer waits."""
        return asyncio.wrap_future(self.submit(who, work, *args, **kwargs))

    def submit(self, who: bytes, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do as `start`, called from any thread."""
        asked = time.monotonic()

        def measured() -> T:
            began = time.monotonic()
            self.waited.observe(began - asked)
            try:
                return work(*args, **kwargs)
            finally:
                self.worked.observe(time.monotonic() - began)

        try:
            future = self._pool.submit(measured)
        except RuntimeError:
            # It was closed after this request was admitted, for which `close` waits.
            self.leave(who)
            raise
        future.add_done_callback(lambda _: self.leave(who))
        return future

    def close(self, within: float) -> bool:
        """Cancel waiting requests, and wait for running ones at most `within` seconds.

        Return whether all have ended.
        """
        with self._changed:
            self._is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            return self._changed.wait_for(lambda: self._admitted == 0, timeout=within)
