"""The two drivers: they perform the effects of a run one after another and hand it what came of each."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from typing import Any, TypeVar

from orionflow.engine.effects import Steps

T = TypeVar("T")


def drive(steps: Steps[T]) -> T:
    """Perform a run's effects in this thread, blocking."""
    answer: Any = None
    try:
        effect = steps.send(None)
        while True:
            try:
                answer = effect.block()
            except BaseException as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as done:
        value: T = done.value
        return value


async def drive_async(steps: Steps[T]) -> T:
    """Perform a run's effects in this coroutine, awaiting."""
    answer: Any = None
    try:
        effect = steps.send(None)
        while True:
            try:
                answer = await effect.wait()
            except BaseException as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except StopIteration as done:
        value: T = done.value
        return value


class LoopThread:
    """An event loop in a thread of its own: coroutines called from sync code run there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._run, args=(self._loop,), name="orion-loop", daemon=True).start()
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def close(self) -> None:
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)


_loop_thread = LoopThread()
atexit.register(lambda: _loop_thread.close())


def loop_thread() -> LoopThread:
    """The loop of this process for coroutines that have none."""
    return _loop_thread


def drive_on_loop_thread(steps: Steps[T]) -> T:
    """Run a coroutine's effects on the loop thread and wait here for the end."""
    running = asyncio.run_coroutine_threadsafe(drive_async(steps), _loop_thread.loop)
    try:
        return running.result()
    except BaseException:
        running.cancel()
        raise


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if any."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _forget_in_child() -> None:
    global _loop_thread
    _loop_thread = LoopThread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
