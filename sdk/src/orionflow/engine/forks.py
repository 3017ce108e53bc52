"""Processes that user code forks in a run. The run goes on in the parent: how a child leaves its function ends no run.

A child may call tasks and flows, which are recorded. It should end with `os._exit`; if it calls `sys.exit`, raises or
returns instead, it ends as it would without Orion, and nothing is reported.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from typing import NoReturn

from orionflow.errors import UsageError

# How many forks lie between this process and the one that imported this module.
generation = 0
# Whether the last fork was in the main thread. In the child, its only thread counts as the main one.
was_in_main_thread = True


class LeftByChild(BaseException):
    """A forked process left the function of a run that began in its parent."""

    def __init__(self, reason: BaseException | None) -> None:
        super().__init__(reason)
        self.reason: BaseException = reason or UsageError(
            "A process that was forked in a flow or a task returned from its function, which goes on in the parent "
            "only; end a forked process with os._exit()."
        )


def left_by(error: BaseException | None) -> LeftByChild:
    """Return what the steps of all runs around the function raise."""
    return error if isinstance(error, LeftByChild) else LeftByChild(error)


def exit_child(left: LeftByChild) -> NoReturn:
    """End this forked process where what it does next would do harm.

    A thread that serves other work would wait for more of it forever. An event loop shares the parent's descriptors,
    and would take its own wake-ups out of the parent's loop as it closes.
    """
    code = 1
    if not isinstance(left.reason, SystemExit):
        traceback.print_exception(left.reason)
    elif left.reason.code is None or isinstance(left.reason.code, int):
        code = left.reason.code or 0
    else:
        print(left.reason.code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)


def _note_thread() -> None:
    global was_in_main_thread
    was_in_main_thread = threading.current_thread() is threading.main_thread()


def _count_in_child() -> None:
    global generation
    generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_note_thread, after_in_child=_count_in_child)
