"""Functions that wait for many task runs."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from orionflow.engine.event_loops import is_blocked_here
from orionflow.engine.interruption import next_of

if TYPE_CHECKING:
    from orionflow.futures import Future

R = TypeVar("R")


class DoneAndNotDone(NamedTuple):
    """The task runs that ended in time, and the others."""

    done: set[Future[Any]]
    not_done: set[Future[Any]]


def wait(futures: Iterable[Future[Any]], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all of these task runs have ended, or until the timeout.

    - `futures`: futures that `submit` and `map` returned.
    - `timeout`: how many seconds to wait at most. By default there is no limit.

    Returns two sets of futures: `done, not_done = wait(futures, timeout=10)`. It does not raise exceptions of the runs.
    """
    # By identity, in order: a future that is given twice counts once.
    asked = {id(future): future for future in futures}
    _check_loops(asked.values())
    with suppress(TimeoutError):
        for _ in as_completed(asked.values(), timeout):
            pass
    done = {future for future in asked.values() if future.is_done}
    return DoneAndNotDone(done, set(asked.values()) - done)


def _check_loops(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        if not future.is_done and future.loop is not None and is_blocked_here(future.loop):
            future.block_until_done()


class as_completed(Generic[R]):  # noqa: N801
    """Yield futures in the order in which their task runs end, in a `for` or an `async for` loop.

    - `futures`: futures that `submit` and `map` returned.
    - `timeout`: within how many seconds from the start of the loop all of them must end. By default there is no limit.

    Raises `TimeoutError` if they have not.
    """

    def __init__(self, futures: Iterable[Future[R]], timeout: float | None = None) -> None:
        self._asked = {id(future): future for future in futures}
        self._timeout = timeout

    def __iter__(self) -> Iterator[Future[R]]:
        futures = list(self._asked.values())
        _check_loops(futures)
        # Callbacks come from the threads in which runs end, which must not wait: `put` never does.
        ended: queue.SimpleQueue[Future[R]] = queue.SimpleQueue()
        note = ended.put
        until = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            for future in futures:
                future.add_done_callback(note)
            for number in range(len(futures)):
                try:
                    yield next_of(ended, until)
                except queue.Empty:
                    left = len(futures) - number
                    raise TimeoutError(
                        f"{left} of {len(futures)} task runs did not end within {self._timeout:g} s."
                    ) from None
        finally:
            for future in futures:
                # A loop that was left early must not be kept, with its queue, until the last run ends.
                future.remove_done_callback(note)

    async def __aiter__(self) -> AsyncIterator[Future[R]]:
        async def ended(future: Future[R]) -> Future[R]:
            await future.wait_until_done()
            return future

        waiting = [asyncio.ensure_future(ended(one)) for one in self._asked.values()]
        try:
            for next_one in asyncio.as_completed(waiting, timeout=self._timeout):
                yield await next_one
        finally:
            for one in waiting:
                one.cancel()
