"""Effects: steps that a run wants performed, by a thread that blocks or by a coroutine that awaits."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from orionflow.clock import current_clock
from orionflow.context import FlowRunContext
from orionflow.engine.forked_children import ParentContinues
from orionflow.engine.interruption import LONGEST_DELAY
from orionflow.engine.time_limits import limited, limited_async
from orionflow.engine.withdrawals import withdrawn_if_cancelled

if TYPE_CHECKING:
    from orionflow.calls import Call
    from orionflow.client import OrionClient
    from orionflow.futures import Future
    from orionflow.reporting import Answer, Reporter, Transition

T = TypeVar("T")

# Runs the blocking work of coroutines; few threads, as each has a connection to the database.
_threads = ThreadPoolExecutor(4, thread_name_prefix="orion-api")


def end_threads() -> None:
    """End the threads that work for coroutines, and so their connections; new threads are started when needed."""
    global _threads
    before, _threads = _threads, ThreadPoolExecutor(4, thread_name_prefix="orion-api")
    before.shutdown(wait=True)


def _forget_in_child() -> None:
    # The threads stay with the parent, and this executor would count them as idle and start no others.
    global _threads
    _threads = ThreadPoolExecutor(4, thread_name_prefix="orion-api")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


class Effect:
    """An operation that a run asks its driver to perform."""

    __slots__ = ()

    def block(self) -> Any:
        raise NotImplementedError

    async def wait(self) -> Any:
        raise NotImplementedError


Steps = Generator[Effect, Any, T]


class Ask(Effect):
    """Propose a step of a task run and wait for the verdict."""

    __slots__ = ("reporter", "transition")

    def __init__(self, reporter: Reporter, transition: Transition) -> None:
        self.reporter = reporter
        self.transition = transition

    def block(self) -> Answer:
        return self.reporter.ask(self.transition).result()

    async def wait(self) -> Answer:
        return await asyncio.wrap_future(self.reporter.ask(self.transition))


class Do(Effect):
    """Do blocking work of Orion itself, with the network or a file; to store results, it may call the user's code."""

    __slots__ = ("args", "work")

    def __init__(self, work: Callable[..., Any], *args: Any) -> None:
        self.work = work
        self.args = args

    def block(self) -> Any:
        with ParentContinues():
            return self.work(*self.args)

    async def wait(self) -> Any:
        working = _threads.submit(copy_context().run, self.block)
        done = asyncio.wrap_future(working)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            # A request on its way to the API must not arrive after a request that is sent next.
            if not working.cancel():
                await _wait_at_most(done, LONGEST_DELAY)
            raise
        except GeneratorExit:
            # Nothing can be awaited any more.
            if not working.cancel():
                wait([working], LONGEST_DELAY)
            raise


async def _wait_at_most(future: asyncio.Future[Any], seconds: float) -> None:
    """Wait even if the coroutine is cancelled again."""
    until = time.monotonic() + seconds
    while not future.done() and (left := until - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({future}, timeout=left)


class Surely(Effect):
    """Perform an effect to its end, however often its coroutine is cancelled meanwhile."""

    __slots__ = ("effect",)

    def __init__(self, effect: Effect) -> None:
        self.effect = effect

    def block(self) -> Any:
        return self.effect.block()

    async def wait(self) -> Any:
        for _ in range(3):
            performed = asyncio.ensure_future(self.effect.wait())
            while not performed.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({performed})
            # When `asyncio.run` ends it cancels every task that it finds, including this one, but only once.
            if not performed.cancelled():
                return performed.result()
        raise asyncio.CancelledError


def surely(steps: Steps[T]) -> Steps[T]:
    """Perform all of these steps even if their coroutine is cancelled."""
    answer: Any = None
    errors: list[BaseException] = []
    while True:
        try:
            effect = steps.throw(errors.pop()) if errors else steps.send(answer)
        except StopIteration as done:
            value: T = done.value
            return value
        try:
            answer = yield Surely(effect)
        except BaseException as error:
            errors.append(error)


def send(client: OrionClient, call: Call[T]) -> Do:
    """Send a call to the API and wait for its answer."""
    return Do(client.send, call)


class Sleep(Effect):
    """Let time pass, by the current clock."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def block(self) -> None:
        current_clock().sleep(self.seconds)

    async def wait(self) -> None:
        await current_clock().sleep_async(self.seconds)


class WaitFor(Effect):
    """Wait until all of these task runs have ended, in whatever state, or until a moment of the monotonic clock."""

    __slots__ = ("futures", "until")

    def __init__(self, futures: Sequence[Future[Any]], until: float | None = None) -> None:
        self.futures = futures
        self.until = until

    def block(self) -> None:
        for future in self.futures:
            future.block_until_done(None if self.until is None else max(self.until - time.monotonic(), 0.0))

    async def wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self.until is None else max(self.until - time.monotonic(), 0.0)):
                for future in self.futures:
                    await future.wait_until_done()


class UserCode(Effect):
    """Call the user's function, here or where a runner calls it."""

    __slots__ = ("args", "fn", "kwargs", "place", "seconds")

    def __init__(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        seconds: float | None = None,
        place: Callable[..., Any] | None = None,
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.seconds = seconds
        self.place = place

    def block(self) -> Any:
        with ParentContinues():
            if self.place is not None:
                return self.place(self.fn, self.args, self.kwargs, self.seconds)
            if self.seconds is not None:
                return limited(self._call, self.seconds)
            return self._call()

    def _call(self) -> Any:
        value = self.fn(*self.args, **self.kwargs)
        if inspect.isgenerator(value):
            # A generator's body is the function's body: its time and its exceptions belong to the run.
            return list(value)
        if inspect.iscoroutine(value):
            # A sync wrapper around an async function: the coroutine is the function's body as well.
            from orionflow.engine.loops import block_on

            return block_on(value, FlowRunContext.get())
        return value

    async def wait(self) -> Any:
        with ParentContinues():
            if self.place is not None:
                with withdrawn_if_cancelled():
                    return await asyncio.to_thread(self.place, self.fn, self.args, self.kwargs, self.seconds)
            if self.seconds is not None:
                return await limited_async(self._await, self.seconds)
            return await self._await()

    async def _await(self) -> Any:
        value = self.fn(*self.args, **self.kwargs)
        if inspect.isasyncgen(value):
            return [part async for part in value]
        return await value if isinstance(value, Awaitable) else value
