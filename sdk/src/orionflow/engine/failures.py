"""Logging of exceptions: once, where they were raised, with their traceback, and without Orion's own frames."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from orionflow.engine.run_calls import TaskCall
from orionflow.errors import OrionError
from orionflow.logging import RunLogger, task_run_logger
from orionflow.recordable import as_text
from orionflow.states import State

OURS = str(Path(__file__).parents[1]) + os.sep
# Parts of Python's messages when it refuses to run or await an object that is not a coroutine.
NO_COROUTINE = ("a coroutine was expected", "a coroutine or an awaitable is required", "used in 'await' expression")
_LOGGED = "__orion_logged__"


def logger_of(call: TaskCall) -> RunLogger:
    return task_run_logger(call.flow_run, call.id, call.name, call.task.name)


def warn_of_iterators(logger: RunLogger, parameters: Mapping[str, Any]) -> None:
    """Warn, before the next attempt, of arguments that the attempt before may have used up."""
    used = [name for name, value in parameters.items() if isinstance(value, Iterator | AsyncIterator)]
    if used:
        logger.warning(
            "The next attempt gets only what the one before has left of %s: it can be gone through once. "
            "Pass a list to what is tried again.",
            ", ".join(used),
        )


def log_exception(logger: RunLogger, error: BaseException, words: str) -> None:
    """Log an exception with its traceback, or in one line if an inner run has logged it already."""
    if _is_logged(error):
        logger.error("%s %s: %s (logged above)", words.rstrip(":") + ":", type(error).__name__, as_text(error))
        return
    if isinstance(error, ValueError | TypeError) and any(part in as_text(error) for part in NO_COROUTINE):
        # Python only reports that a value was awaited, and not why it is no coroutine.
        with suppress(Exception):
            error.add_note(
                "In a sync flow an async task or flow gives its value at once, and there is nothing to await: "
                "call it without asyncio.run, or make the flow async."
            )
    logger.error(words, exc_info=(type(error), error, users_part(error)))
    # Some exceptions do not accept attributes; these are logged twice.
    with suppress(Exception):
        setattr(error, _LOGGED, True)


def _is_logged(error: BaseException) -> bool:
    # Bypass a `__getattr__` of the user's class, which may raise or return something for every name.
    try:
        return object.__getattribute__(error, _LOGGED) is True
    except AttributeError:
        return False


def note_cause(state: State[Any], function: Callable[..., Any]) -> None:
    """Write the cause of a bad state into its details, if it can be found; otherwise the server uses the message."""
    try:
        # Imported only when a run fails.
        from orionflow.engine import causes
    except (OSError, ImportError):
        # The run may have failed because no more files can be opened.
        return
    causes.note_cause(state, function)


def users_part(error: BaseException) -> TracebackType | None:
    """Return the traceback without Orion's frames, except for the call to Orion that raised the exception.

    An exception that Orion does not raise on purpose may be a fault of Orion, so it keeps Orion's frames after the
    user's.
    """
    links = list(_links(error.__traceback__))
    last = max((place for place, link in enumerate(links) if not _is_ours(link)), default=None)
    if last is None:
        return error.__traceback__
    end = last + 2 if isinstance(error, OrionError) else len(links)
    part: TracebackType | None = None
    for place, link in reversed(list(enumerate(links[:end]))):
        if place > last or not _is_ours(link):
            part = TracebackType(part, link.tb_frame, link.tb_lasti, link.tb_lineno)
    return part


def _links(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_ours(link: TracebackType) -> bool:
    return link.tb_frame.f_code.co_filename.startswith(OURS)
