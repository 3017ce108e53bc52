"""Calls of the user's hooks, in order, whose exceptions are only logged; and of other sync or async callbacks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

from orionflow.context import FlowRunContext
from orionflow.engine.effects import Effect, Steps
from orionflow.engine.event_loops import running_loop, set_aside
from orionflow.engine.forked_children import ParentContinues
from orionflow.engine.loops import block_on
from orionflow.logging import RunLogger
from orionflow.options.hooks import Hook, name_of
from orionflow.states import State


class Callback(Effect):
    """Call a function of the user, sync or async, and wait for its value."""

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function = function
        self.args = args

    def block(self) -> Any:
        with ParentContinues():
            outcome = self.function(*self.args)
            return block_on(outcome, FlowRunContext.get()) if inspect.isawaitable(outcome) else outcome

    async def wait(self) -> Any:
        loop = running_loop()
        is_async = inspect.iscoroutinefunction(self.function)
        with ParentContinues():
            with set_aside(loop) if loop is not None and not is_async else nullcontext():
                outcome = self.function(*self.args)
            return await outcome if inspect.isawaitable(outcome) else outcome


def call_hooks(hooks: Iterable[Hook], declared: Any, run: Any, state: State[Any], logger: RunLogger) -> Steps[None]:
    """Call each hook with the flow or task, its run and the state."""
    for hook in list(hooks):
        try:
            yield Callback(hook, declared, run, state)
        except Exception:
            logger.exception("The hook %r raised an exception; the run is not changed by that.", name_of(hook))
