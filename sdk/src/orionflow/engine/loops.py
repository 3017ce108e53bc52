"""Event loops in threads of their own: coroutines that sync code calls run there.

Each belongs to one sync flow run, or to one call, at a time. With one loop for all, a coroutine there that calls a sync
flow, which calls a coroutine in its turn, would wait for itself.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.engine.crashes import reason_of
from orionflow.engine.event_loops import is_blocked_here, is_held_up
from orionflow.engine.interruption import Reason, interrupt_thread, wait_for

T = TypeVar("T")

# So many loops without work keep their threads.
KEPT = 8
# A loop that has not come to cancel a coroutine by then is held up by plain code.
UNTIL_INTERRUPTED = 0.25
# How long those who end early wait for the coroutines that they had called.
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
        """Not in a forked child: threads stay with the parent."""
        return self._thread.is_alive()

    @property
    def is_idle(self) -> bool:
        """Whether nobody has it, and no coroutine of an earlier borrower is still going on there."""
        return not self.is_lent and not self._working

    def count(self, coroutines: int) -> None:
        with self._lock:
            self._working += coroutines

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            # Whatever a callback raises (an interrupt, an exit) ends the run that it belongs to, and not the loop.
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
            value = await self._coroutine
        except BaseException as error:
            # Not further: an exit would end the loop, and it is for whoever waits.
            self._thread.count(-1)
            self.done.set_exception(error)
        else:
            self._thread.count(-1)
            self.done.set_result(value)

    def result(self) -> T:
        return wait_for(self.done)

    def cancel(self, reason: Reason) -> None:
        """Have the coroutine cancelled when its loop comes to it."""
        self._reason = reason
        self._thread.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._is_asked or self.done.done():
            return
        if self._task is None:
            # Whoever would have started it was interrupted before that.
            self._coroutine.close()
            self.done.set_exception(asyncio.CancelledError(self._reason))
            return
        if not self._has_begun:
            # Cancelled before its first line, it could not say how it ended.
            self._thread.loop.call_soon(self._cancel)
            return
        self._is_asked = True
        self._task.cancel(self._reason)

    def end(self, reason: Reason, patience: float) -> bool:
        """Have the coroutine end, and wait for that; False when it has not by then.

        Where sync code holds its loop up, that is interrupted.
        """
        self.cancel(reason)
        if not is_held_up(self._thread.loop):
            wait({self.done}, UNTIL_INTERRUPTED)
        if not self._is_asked and not self.done.done():
            self._is_asked = True
            interrupt_thread(self._thread.thread_id, reason)
        return bool(wait({self.done}, patience).done)


class Loops:
    """The loops of this process that are lent to who needs one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[LoopThread] = []
        self._made = 0

    def borrow(self) -> LoopThread:
        """A loop for its borrower alone: the same one again as long as nobody else wants one."""
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
atexit.register(lambda: _loops.close())


def loops() -> Loops:
    """Return those of this process."""
    return _loops


@contextmanager
def loop_for(flow_run: FlowRunContext | None) -> Iterator[LoopThread]:
    """A loop for a coroutine that code of this flow run calls and waits for.

    The flow itself and what it submits share one, so that they can share what is bound to a loop. Its tasks get others:
    the flow's may be held up until they end.
    """
    if flow_run is not None and flow_run.loop is None and TaskRunContext.get() is None:
        own: LoopThread = flow_run.own_loop()
        if not is_blocked_here(own.loop):
            yield own
            return
    with _loops.lent() as thread:
        yield thread


def block_on(awaitable: Awaitable[T], flow_run: FlowRunContext | None) -> T:
    """Await on a loop of another thread, and return the value; whatever interrupts this wait ends it there as well."""
    with loop_for(flow_run) as thread:
        running = Elsewhere(thread, _awaited(awaitable))
        try:
            running.start()
            return running.result()
        except BaseException as error:
            if not running.done.done():
                # What it reports of its end shall be there before the end of this run is.
                running.end(reason_of(error), PATIENCE_SECONDS)
            raise


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _forget_in_child() -> None:
    global _loops
    _loops = Loops()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
