"""Calls of the user's hooks, in order; their exceptions are only logged."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from orionflow.context import FlowRunContext
from orionflow.engine.effects import Effect, Steps
from orionflow.engine.event_loops import running_loop, set_aside
from orionflow.engine.loops import block_on
from orionflow.options.hooks import Hook, name_of


class CallHook(Effect):
    """Call one hook and wait for it."""

    __slots__ = ("args", "hook")

    def __init__(self, hook: Hook, args: tuple[Any, ...]) -> None:
        self.hook = hook
        self.args = args

    def block(self) -> None:
        outcome = self.hook(*self.args)
        if inspect.isawaitable(outcome):
            block_on(outcome, FlowRunContext.get())

    async def wait(self) -> None:
        loop = running_loop()
        with set_aside(loop) if loop is not None and not inspect.iscoroutinefunction(self.hook) else nullcontext():
            outcome = self.hook(*self.args)
        if inspect.isawaitable(outcome):
            await outcome


def call_hooks(hooks: Iterable[Hook], declared: Any, run: Any, state: Any, logger: Any) -> Steps[None]:
    """Call each hook with the flow or task, its run and the state."""
    for hook in list(hooks):
        try:
            yield CallHook(hook, (declared, run, state))
        except Exception:
            logger.exception("The hook %r raised an exception; the run is not changed by that.", name_of(hook))
