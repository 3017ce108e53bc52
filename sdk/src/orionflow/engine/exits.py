"""GeneratorExit raised by a function ends a run like any other exception; raised by Python, it closes a coroutine."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TypeVar

T = TypeVar("T")


class ExitRaised(BaseException):
    """Carries a GeneratorExit that a function raised, as the exception itself would close the steps of a run."""

    def __init__(self, exit_: GeneratorExit) -> None:
        super().__init__(exit_)
        self.exit = exit_


def throwable(error: BaseException) -> BaseException:
    """Return an exception that steps can catch and report."""
    return ExitRaised(error) if isinstance(error, GeneratorExit) else error


def as_raised(error: BaseException) -> BaseException:
    """Return the exception that the function raised."""
    return error.exit if isinstance(error, ExitRaised) else error


def is_closed(error: BaseException | None) -> bool:
    """Whether Python raised this error to close the coroutine or the generator that catches it.

    Python closes the innermost one first, each with a new exception, so the traceback has a single frame. An exception
    that a function raised also has the frame of the function.
    """
    trace = error.__traceback__ if isinstance(error, GeneratorExit) else None
    return trace is not None and trace.tb_next is None


def reset(variable: ContextVar[T], token: Token[T]) -> None:
    """Give a context variable its earlier value back, unless this runs in another context.

    That is so where Python closes a coroutine that was an asyncio task, whose context ends with it.
    """
    with suppress(ValueError):
        variable.reset(token)
