"""Telling about an exception once: where it was raised, with its traceback, and without the engine's own frames."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from orionflow.engine.calls import TaskCall
from orionflow.logging import task_run_logger
from orionflow.recordable import as_text

OWN = str(Path(__file__).parent)
# How Python refuses to run or await what is no coroutine.
NO_COROUTINE = ("a coroutine was expected", "a coroutine or an awaitable is required", "used in 'await' expression")
_TOLD = "__orion_told__"


def logger_of(call: TaskCall) -> Any:
    return task_run_logger(call.flow_run, call.id, call.name, call.task.name)


def log_exception(call: TaskCall, error: Exception) -> None:
    """One line with the traceback, unless a run further in told it already."""
    tell(logger_of(call), error, "The task raised an exception:")


def tell(logger: Any, error: BaseException, words: str) -> None:
    if _is_told(error):
        logger.error("%s %s: %s (told above)", words.rstrip(":") + ":", type(error).__name__, as_text(error))
        return
    _explain(error)
    logger.error(words, exc_info=(type(error), error, users_part(error.__traceback__)))
    # Some exceptions let nobody write on them; these are told twice.
    with suppress(Exception):
        setattr(error, _TOLD, True)


def _is_told(error: BaseException) -> bool:
    # Past a `__getattr__` of the user's, which may raise or say yes to everything.
    try:
        return object.__getattribute__(error, _TOLD) is True
    except AttributeError:
        return False


def _explain(error: BaseException) -> None:
    """Add a word of help where Python only sees that somebody awaits a value."""
    if isinstance(error, ValueError | TypeError) and any(words in as_text(error) for words in NO_COROUTINE):
        with suppress(Exception):
            error.add_note(
                "In a sync flow an async task or flow gives its value at once, and there is nothing to await: "
                "call it without asyncio.run, or make the flow async."
            )


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is not the engine's."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith(OWN):
        first = first.tb_next
    return first or trace
