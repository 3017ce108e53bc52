"""Event loops in threads of their own, for coroutines that sync code calls.

Each loop belongs to one sync flow run, or to one call, at a time. With a single loop for all, a coroutine that calls a
sync flow, which in turn calls a coroutine, would wait for itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.engine.crashes import reason_of
from orionflow.engine.event_loops import is_blocked_here, is_held_up
from orionflow.engine.forked_children import ParentContinues
from orionflow.engine.interruption import Reason, interrupt_thread, wait_for

T = TypeVar("T")

# The largest number of idle loops that keep their threads.
KEPT = 8
# Seconds. A loop that has not cancelled a coroutine by then is blocked by sync code.
UNTIL_INTERRUPTED = 0.25
# Seconds that a run that ends early waits for the coroutines that it called.
PATIENCE_SECONDS = 3.0


class LoopThread:
    """An event loop and its thread."""

    def __init__(self, number: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.is_lent = False
        self._working = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"orion-loop-{number}", daemon=True)
        self._thread.start()

    @property
    def thread_id(self) -> int:
        return self._thread.ident or 0

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; not in a forked child, as threads stay with the parent."""
        return self._thread.is_alive()

    @property
    def is_idle(self) -> bool:
        """Whether the loop is not lent, and no coroutine of an earlier borrower still runs on it."""
        return not self.is_lent and not self._working

    def count(self, coroutines: int) -> None:
        with self._lock:
            self._working += coroutines

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            # An exception of a callback (an interrupt, an exit) ends the run that it belongs to, and not the loop.
            with suppress(BaseException):
                self.loop.run_forever()
                break
        if not asyncio.all_tasks(self.loop):
            self.loop.close()

    def stop(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Elsewhere[T]:
        elsewhere = Elsewhere(self, coroutine)
        elsewhere.start()
        return elsewhere


class Elsewhere(Generic[T]):
    """A coroutine that runs on the loop of another thread, in a copy of this thread's context."""

    def __init__(self, thread: LoopThread, coroutine: Coroutine[Any, Any, T]) -> None:
        self._thread = thread
        self._coroutine = coroutine
        self._task: asyncio.Task[None] | None = None
        self._has_begun = False
        self._reason = Reason("")
        self._is_asked = False
        self.done: Future[T] = Future()

    def start(self) -> None:
        self._thread.loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        if not self.done.done():
            self._thread.count(1)
            self._task = self._thread.loop.create_task(self._run())

    async def _run(self) -> None:
        self._has_begun = True
        try:
            with ParentContinues():
                value = await self._coroutine
        except BaseException as error:
            # Not re-raised: an exit would end the loop, and it is meant for the waiting caller.
            self._thread.count(-1)
            self.done.set_exception(error)
        else:
            self._thread.count(-1)
            # After the count: whoever waits for this may borrow the loop next.
            self.done.set_result(value)

    def result(self) -> T:
        return wait_for(self.done)

    def cancel(self, reason: Reason) -> None:
        """Cancel the coroutine as soon as its loop is free."""
        self._reason = reason
        self._thread.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._is_asked or self.done.done():
            return
        if self._task is None:
            # The code that would have started it was interrupted before.
            self._coroutine.close()
            self.done.set_exception(asyncio.CancelledError(self._reason))
            return
        if not self._has_begun:
            # If it were cancelled before its first line, it could not report its end.
            self._thread.loop.call_soon(self._cancel)
            return
        self._is_asked = True
        self._task.cancel(self._reason)

    def end(self, reason: Reason, patience: float) -> bool:
        """End the coroutine and wait for that; return False if it has not ended in time.

        If sync code blocks its loop, that code is interrupted.
        """
        self.cancel(reason)
        if not is_held_up(self._thread.loop):
            wait({self.done}, UNTIL_INTERRUPTED)
        if not self._is_asked and not self.done.done():
            self._is_asked = True
            interrupt_thread(self._thread.thread_id, reason)
        return bool(wait({self.done}, patience).done)


class Loops:
    """The loops of this process, lent to code that needs one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[LoopThread] = []
        self._made = 0

    def borrow(self) -> LoopThread:
        """Return a loop that no other code uses: the same one again, if it is idle."""
        with self._lock:
            for thread in self._threads:
                if thread.is_idle:
                    break
            else:
                self._made += 1
                thread = LoopThread(self._made)
                self._threads.append(thread)
            thread.is_lent = True
            return thread

    def give_back(self, thread: LoopThread) -> None:
        with self._lock:
            thread.is_lent = False
            idle = [one for one in self._threads if one.is_idle]
            for surplus in idle[KEPT:]:
                self._threads.remove(surplus)
                surplus.stop()

    @contextmanager
    def lent(self) -> Iterator[LoopThread]:
        thread = self.borrow()
        try:
            yield thread
        finally:
            self.give_back(thread)

    def close(self) -> None:
        for thread in self._threads:
            thread.stop()


_loops = Loops()


def loops() -> Loops:
    """Return the loops of this process."""
    return _loops


@contextmanager
def loop_for(flow_run: FlowRunContext | None) -> Iterator[LoopThread]:
    """Yield a loop for a coroutine that code of this flow run calls and waits for.

    The flow and the tasks that it submits share one, so that they can share objects that are bound to a loop. Tasks get
    others for their own calls, because the flow's loop may be blocked until they end.
    """
    if flow_run is not None and flow_run.loop is None and TaskRunContext.get() is None:
        own: LoopThread = flow_run.own_loop()
        if not is_blocked_here(own.loop):
            yield own
            return
    with _loops.lent() as thread:
        yield thread


def block_on(awaitable: Awaitable[T], flow_run: FlowRunContext | None) -> T:
    """Await on a loop of another thread, and return the value; an interrupt of this wait also ends the work there."""
    with loop_for(flow_run) as thread:
        running = Elsewhere(thread, _awaited(awaitable))
        try:
            running.start()
            return running.result()
        except BaseException as error:
            if not running.done.done():
                # The report of its end must come before the end of this run.
                running.end(reason_of(error), PATIENCE_SECONDS)
            raise


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _forget_in_child() -> None:
    global _loops
    _loops = Loops()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
