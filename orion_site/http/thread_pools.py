"""The bounded, persistent threads on which Django answers: a request makes neither a thread nor a connection.

Transitions have a pool of their own: however many pages are being read, a run can report what it did.
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

# The pools of this process, for whoever measures it.
pools: WeakSet[BoundedPool] = WeakSet()


class BoundedPool:
    """A few threads, and a bound on how many requests may run or queue for them."""

    def __init__(self, name: str, *, threads: int, in_flight: int) -> None:
        self.name, self.threads = name, threads
        # How long requests waited for a thread, and how long they had one; how many were sent away.
        self.waited, self.worked = Distribution(), Distribution()
        self.refused = 0
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"orion-{name}")
        self._limit = in_flight
        # Nobody takes all of it: the others would be answered that the server is busy.
        self._of_one = max(1, in_flight * 3 // 4)
        self._admitted = 0
        self._of = Counter[bytes]()
        self._changed = Condition()
        pools.add(self)

    @property
    def admitted(self) -> int:
        return self._admitted

    @property
    def limit(self) -> int:
        return self._limit

    def admit(self, who: bytes = b"") -> bool:
        """Admit one more request of somebody, until `leave`; False when there are as many as may be."""
        with self._changed:
            if self._admitted >= self._limit or (who and self._of[who] >= self._of_one):
                self.refused += 1
                return False
            self._admitted += 1
            self._of[who] += 1
            return True

    def keep(self, who: bytes, until: Future[Any]) -> None:
        """Count one more request of somebody, which needs no thread any more, until this is done."""
        with self._changed:
            self._admitted += 1
            self._of[who] += 1
        until.add_done_callback(lambda _: self.leave(who))

    def leave(self, who: bytes = b"") -> None:
        with self._changed:
            self._admitted -= 1
            self._of[who] -= 1
            if not self._of[who]:
                del self._of[who]
            self._changed.notify_all()

    def start(self, who: bytes, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Run `work` on a thread and leave when it ends, whether or not anybody still waits for it."""
        asked = time.monotonic()

        def measured() -> T:
            began = time.monotonic()
            self.waited.observe(began - asked)
            try:
                return work(*args, **kwargs)
            finally:
                self.worked.observe(time.monotonic() - began)

        future = self._pool.submit(measured)
        future.add_done_callback(lambda _: self.leave(who))
        return asyncio.wrap_future(future)

    def close(self, within: float) -> bool:
        """Refuse what waits, and let what runs end for so many seconds; whether all of it did."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            return self._changed.wait_for(lambda: self._admitted == 0, timeout=within)
