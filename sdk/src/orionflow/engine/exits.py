"""GeneratorExit ends a run as any exception does if a function raises it; Python raises it to close a coroutine."""

from __future__ import annotations


class ExitRaised(BaseException):
    """Carries a GeneratorExit that a function raised, as one that is thrown into the steps of a run closes them."""

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
    """Tell whether Python closes the coroutine or the generator that catches this error.

    Python closes the innermost one first, each with an exception of its own, so the traceback has a single frame. An
    exception that a function raised has the frame of the function as well.
    """
    trace = error.__traceback__ if isinstance(error, GeneratorExit) else None
    return trace is not None and trace.tb_next is None
