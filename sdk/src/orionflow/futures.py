"""Futures: handles of task runs that may not have ended yet. `waiting` has functions that wait for many of them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Generic, TypeVar
from uuid import UUID

from orionflow.engine.event_loops import is_blocked_here
from orionflow.engine.interruption import wait_for
from orionflow.engine.usual_ends import Usual, as_state, as_usual
from orionflow.errors import UsageError
from orionflow.states import Pending, State
from orionflow.waiting import DoneAndNotDone as DoneAndNotDone
from orionflow.waiting import as_completed as as_completed
from orionflow.waiting import wait as wait

R = TypeVar("R")

logger = logging.getLogger("orionflow.futures")
# Held for a few instructions by code that ends a run or starts to wait for one. Reentrant, because a signal may arrive
# at that moment, and its handler ends runs as well.
_settling = threading.RLock()


def _forget_in_child() -> None:
    # The thread that held the lock was not copied into the child.
    global _settling
    _settling = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


class _Done(concurrent.futures.Future[None]):
    """An object of the standard library to wait on, which is also the callback that ends the wait."""

    def __call__(self, _: object) -> None:
        self.set_result(None)


class Future(Generic[R]):
    """A handle of a task run that may still be running, as `Task.submit` returns it.

    Pass it to other tasks as if it were the value. In async flows, await `result()` and `wait()` of async tasks;
    awaiting the future itself returns the future.

    - `task_run_id`: the id of the task run. `name`: its name.
    - `is_async`: whether the task's function is async. `loop`: the event loop that it runs on, if any.
    """

    __slots__ = ("__weakref__", "_callbacks", "_id", "_outcome", "is_async", "loop", "name")

    def __init__(
        self,
        task_run_id: UUID,
        name: str,
        *,
        is_async: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        # As a number, see `usual_ends`.
        self._id: int = task_run_id.int
        self.name = name
        self.is_async = is_async
        # The event loop of the flow if the task runs on it; code on that loop must not block until the task ends.
        self.loop = loop
        # The final state, or what distinguishes a usual one from others.
        self._outcome: State[R] | Usual | None = None
        # Callbacks of code that waits; None once the run has ended. The object to wait on is created only when code
        # waits.
        self._callbacks: list[Callable[[Future[R]], object]] | None = []

    @property
    def task_run_id(self) -> UUID:
        """The id of the task run."""
        return UUID(int=self._id)

    @property
    def is_done(self) -> bool:
        """Whether the run has ended."""
        return self._outcome is not None

    @property
    def state(self) -> State[R]:
        """The newest state of the run that this process knows. Reading it does not wait."""
        return self._state or Pending()

    @property
    def _state(self) -> State[R] | None:
        outcome = self._outcome
        return as_state(outcome, self._id) if isinstance(outcome, tuple) else outcome

    def get_state(self) -> State[R]:
        """Return `state`. The name is Prefect's."""
        return self.state

    @property
    def final_state(self) -> State[R]:
        """The final state of the run. Reading it does not wait.

        Raises `UsageError` if the run has not ended.
        """
        state = self._state
        if state is None:
            raise UsageError(f"{self!r} has not ended; wait for it first.")
        return state

    def wait(self, timeout: float | None = None) -> Any:
        """Wait until the run has ended and return its final state.

        - `timeout`: how many seconds to wait at most. Returns `None` if the run has not ended by then. By default there
          is no limit.

        Raises `UsageError` where waiting would block the event loop on which the run depends.
        """
        return self._wait_async(timeout) if self.is_async else self._wait(timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Wait until the run has ended and return its value.

        ```python
        from orionflow import flow, task

        @task
        def divide(by: int) -> float:
            return 1 / by

        @flow
        def tried() -> str:
            failed = divide.submit(0).result(raise_on_failure=False)
            return type(failed).__name__

        assert tried() == "ZeroDivisionError"
        ```

        - `timeout`: how many seconds to wait at most. By default there is no limit.
        - `raise_on_failure`: with `False`, an exception of the run is returned instead of raised.

        Raises the exception of the function if the run failed, `CrashedRun` or `CancelledRun` if it ended otherwise,
        `UpstreamFailed` if an input did not complete, `TimeoutError` if it has not ended after `timeout` seconds,
        `MissingResult` if the value is no longer available, and `UsageError` where waiting would block the event loop
        on which the run depends.
        """
        if self.is_async:
            return self._result_async(timeout, raise_on_failure)
        if isinstance(self._outcome, tuple):
            return self._outcome[0]
        return self._value(self._wait(timeout), timeout, raise_on_failure)

    def store_result(self) -> bool:
        """Store the value of an ended run if its store failed before. Returns `False` if there is nothing to store.

        Raises `UsageError` if the run has not ended, `StorageFailed` if the store fails again, and `MissingResult` if
        the value is no longer in this process.
        """
        return self.final_state.store_result()

    def _value(self, state: State[R] | None, timeout: float | None, raise_on_failure: bool) -> Any:
        if state is None:
            raise TimeoutError(f"Task run {self.name!r} did not end within {timeout:g} s.")
        return state.result(raise_on_failure=raise_on_failure)

    def _wait(self, timeout: float | None) -> State[R] | None:
        if self._outcome is None:
            self.block_until_done(timeout)
        return self._state

    def block_until_done(self, timeout: float | None = None) -> None:
        """Block this thread until the run has ended; raise UsageError if that would block the loop that it runs on."""
        if self._outcome is not None:
            return
        if self.loop is not None and is_blocked_here(self.loop):
            raise UsageError(
                f"Task run {self.name!r} runs on this event loop, which cannot block until it ends; "
                "await its result first."
            )
        done = _Done()
        self.add_done_callback(done)
        try:
            with suppress(concurrent.futures.TimeoutError):
                wait_for(done, timeout)
        finally:
            self.remove_done_callback(done)

    async def wait_until_done(self) -> None:
        if self._outcome is not None:
            return
        done = _Done()
        self.add_done_callback(done)
        try:
            # Shielded: a cancelled wait would also cancel `done`, which its callback could then not set.
            await asyncio.shield(asyncio.wrap_future(done))
        finally:
            self.remove_done_callback(done)

    async def _wait_async(self, timeout: float | None) -> State[R] | None:
        try:
            await asyncio.wait_for(self.wait_until_done(), timeout)
        except TimeoutError:
            return None
        return self._state

    async def _result_async(self, timeout: float | None, raise_on_failure: bool) -> Any:
        return self._value(await self._wait_async(timeout), timeout, raise_on_failure)

    def settle(self, state: State[R], usual_in: UUID | None = None) -> bool:
        """Record the final state, and return whether it was the first one; later ones are ignored.

        `usual_in` is the flow run, if the state is a usual one (`is_usual`) without the ids of its runs.
        """
        outcome = state if usual_in is None else as_usual(state, usual_in)
        with _settling:
            if self._outcome is not None:
                return False
            self._outcome = outcome
            callbacks, self._callbacks = self._callbacks or [], None
        # Without the lock, because a callback may end other runs, or wait.
        for callback in callbacks:
            self._call(callback)
        return True

    def add_done_callback(self, callback: Callable[[Future[R]], object]) -> None:
        """Call a function when the run has ended, or now if it has.

        - `callback`: a function that takes this future. An exception that it raises is logged, and changes nothing
          else.
        """
        with _settling:
            if self._callbacks is not None:
                self._callbacks.append(callback)
                return
        self._call(callback)

    def remove_done_callback(self, callback: Callable[[Future[R]], object]) -> None:
        """Do not call this function any more: code that has waited long enough may wait again, any number of times."""
        if self._outcome is not None:
            return
        with _settling:
            if self._callbacks is not None:
                self._callbacks = [one for one in self._callbacks if one is not callback]

    def _call(self, callback: Callable[[Future[R]], object]) -> None:
        try:
            callback(self)
        except Exception:
            # The code that ended the run must not fail because of a callback.
            logger.exception("A callback of %r failed.", self)

    def __await__(self) -> Generator[Any, None, Future[R]]:
        return self._itself().__await__()

    async def _itself(self) -> Future[R]:
        return self

    def __hash__(self) -> int:
        return hash(self._id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Future) and other._id == self._id

    def __repr__(self) -> str:
        return f"Future({self.name!r}, {self.state.name})"

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError(self._not_a_value())
        return str(self)

    def _not_a_value(self) -> str:
        how = "await future.result()" if self.is_async else "future.result()"
        return (
            f"The future of task run {self.name!r} is not the value that the task returns; "
            f"call `{how}` to wait for that, or hand the future to another task."
        )

    def __reduce__(self) -> Any:
        raise UsageError(
            f"The future of task run {self.name!r} cannot be sent to another process; hand over its result."
        )


# Special methods of values that futures do not support. `__iter__`, `__len__` and `__call__` are not among them:
# futures would count as iterable, sized or callable. `__getitem__` also serves loops and `in`. A future is true, equal
# to itself and hashable.
_BINARY = [
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "divmod",
    "pow",
    "lshift",
    "rshift",
    "and",
    "or",
    "xor",
]
_OPERATORS = [
    *_BINARY,
    *["r" + name for name in _BINARY],
    *["lt", "le", "gt", "ge", "neg", "pos", "abs", "invert", "round", "getitem"],
]


def _refusal(operator: str) -> Callable[..., Any]:
    def refuse(self: Future[Any], *_: Any) -> Any:
        raise TypeError(self._not_a_value())

    refuse.__name__ = refuse.__qualname__ = f"__{operator}__"
    return refuse


for _operator in _OPERATORS:
    setattr(Future, f"__{_operator}__", _refusal(_operator))


class FutureList(list[Any], Generic[R]):
    """The futures of a mapped task, in the order of its inputs, as `Task.map` returns them. It is a list."""

    def wait(self, timeout: float | None = None) -> Any:
        """Wait until all runs have ended and return their final states, in order. With async tasks, await it.

        - `timeout`: how many seconds to wait for each run at most. The state of a run that has not ended by then is
          `None`.
        """
        return _gathered([one.wait(timeout) for one in self])

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Wait until all runs have ended and return their values, in order. With async tasks, await it.

        - `timeout`: how many seconds to wait for each run at most.
        - `raise_on_failure`: with `False`, exceptions of runs are returned in place of their values.

        Raises the errors of `Future.result`, for the first run that did not complete.
        """
        return _gathered([one.result(timeout, raise_on_failure) for one in self])

    def __await__(self) -> Generator[Any, None, FutureList[R]]:
        return self._itself().__await__()

    async def _itself(self) -> FutureList[R]:
        return self


def _gathered(parts: list[Any]) -> Any:
    if parts and asyncio.iscoroutine(parts[0]):
        return asyncio.gather(*parts)
    return parts
