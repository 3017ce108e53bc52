"""Processes that user code forks in a run. The run goes on in the parent: how a child leaves its function ends no run.

A child may call tasks and flows, which are recorded under numbers of its own. It should end with `os._exit`. If it
calls `sys.exit`, raises or returns instead, it leaves the run as if that exception came from the call of the flow, and
nothing is reported.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from contextlib import suppress
from types import TracebackType
from typing import NoReturn

from orionflow.engine import forks
from orionflow.engine.event_loops import running_loop
from orionflow.errors import UsageError

# In a child, its only thread counts as the main one, but keeps the number that it had in the parent.
_main_thread = threading.main_thread().ident


class LeftByChild(BaseException):
    """A forked process left the function of a run that began in its parent."""

    def __init__(self, reason: BaseException | None) -> None:
        super().__init__(reason)
        self.reason: BaseException = reason or UsageError(
            "A process that was forked in a flow or a task returned from its function, which goes on in the parent "
            "only; end a forked process with os._exit()."
        )


class ParentContinues:
    """Around code of the user, in the step of a run: a process that was forked in it raises `LeftByChild` at its end.

    It exits instead where what it does next would do harm. A thread that serves other work would wait for more of it
    forever. An event loop shares the parent's descriptors, and would take its own wake-ups out of the parent's loop as
    it closes.
    """

    __slots__ = ("_exits", "_generation")

    def __enter__(self) -> None:
        self._generation = forks.generation
        # In the child, asyncio knows of no running loop.
        self._exits = running_loop() is not None or threading.get_ident() != _main_thread

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if forks.generation == self._generation:
            return
        left = error if isinstance(error, LeftByChild) else LeftByChild(error)
        if self._exits:
            exit_child(left.reason)
        raise left from None


def exit_child(reason: BaseException) -> NoReturn:
    """End this process as Python would end it for this reason, but without code that runs at exit."""
    code = 1
    try:
        if isinstance(reason, SystemExit) and isinstance(reason.code, int | None):
            code = (reason.code or 0) & 0xFF
        else:
            _print(reason)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
    finally:
        os._exit(code)


def _print(reason: BaseException) -> None:
    # The child may have closed its output.
    with suppress(Exception):
        if isinstance(reason, SystemExit):
            print(reason.code, file=sys.stderr)
        else:
            traceback.print_exception(reason)
