"""Debugging of a task's function: stop at its first line, with the actual arguments."""

from __future__ import annotations

import bdb
import os
import pdb
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from orionflow.engine.commands import CancelRequested

# Two tasks that stop at the same time would read each other's commands.
_one = threading.Lock()
LEFT = "The debugger was left, so the replay stops."


def _renew_lock() -> None:
    # A thread of the parent may have held it during the fork.
    global _one
    _one = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def call_stopped(name: str, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a function under pdb, which stops at its first line."""
    with _one, _traced(_debugger(name)):
        return fn(*args, **kwargs)


async def await_stopped(name: str, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Await a coroutine function under pdb. It stops when the body starts, which is when it is awaited."""
    with _one, _traced(_debugger(name)):
        return await fn(*args, **kwargs)


@contextmanager
def _traced(debugger: pdb.Pdb) -> Iterator[None]:
    """Stop at the first line that is called in this block; `runcall` would hide that the user left the debugger."""
    debugger.reset()
    before = sys.gettrace()
    sys.settrace(debugger.trace_dispatch)
    try:
        yield
    except bdb.BdbQuit:
        raise CancelRequested(LEFT) from None
    finally:
        sys.settrace(before)


def _debugger(name: str) -> pdb.Pdb:
    sys.stdout.write(
        f"--- {name} stops at its first line: `args` shows its arguments, `n` steps, `c` continues, `q` quits.\n"
    )
    sys.stdout.flush()
    # The task may run in any thread, but only the main thread can have signal handlers.
    return pdb.Pdb(nosigint=threading.current_thread() is not threading.main_thread())
