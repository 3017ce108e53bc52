"""Where every failure of a command becomes three lines (what, why, fix) and an exit code.

Nothing below this module prints an error or calls exit; it raises.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence

import click

from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.terminal import Terminal


class CommandFailed(Exception):
    """A command cannot do what it was asked to do."""

    def __init__(self, code: ExitCode, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.why = why
        self.fix = fix


def guarded(action: Callable[[], object], terminal: Terminal) -> int:
    """Run a command and give its exit code, whatever happens in it."""
    try:
        outcome = action()
    except BrokenPipeError:
        return _reader_went_away()
    except (KeyboardInterrupt, click.Abort):
        terminal.note("")
        terminal.note("Interrupted.")
        return ExitCode.INTERRUPTED
    except Exception as error:
        if terminal.debug:
            traceback.print_exc(file=sys.stderr)
        return _tell(error, terminal)
    return int(outcome) if isinstance(outcome, int) else ExitCode.DONE


def _reader_went_away() -> int:
    # `orion fr ls | head` closes our stdout early; the interpreter's own flush at exit must not complain about it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.DONE


def _tell(error: Exception, terminal: Terminal) -> int:
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    failure = explained(error)
    terminal.error(failure.what)
    for line in _lines("  why", failure.why) + _lines("  fix", failure.fix):
        terminal.error_detail(line)
    return failure.code


def _lines(label: str, text: str) -> list[str]:
    if not text:
        return []
    first, *rest = text.splitlines()
    return [f"{label}: {first}", *(f"       {line}" for line in rest)]


def explained(error: Exception) -> CommandFailed:
    """The failure as the user is told it."""
    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.ClickException):
        return CommandFailed(ExitCode.USAGE, error.format_message())
    return _of_the_sdk(error) or _unforeseen(error)


def _usage(error: click.UsageError) -> CommandFailed:
    path = error.ctx.command_path if error.ctx else "orion"
    fix = getattr(error, "fix", "") or f"{path} --help"
    return CommandFailed(ExitCode.USAGE, error.format_message(), fix=fix)


def _of_the_sdk(error: Exception) -> CommandFailed | None:
    from orionflow import errors

    if isinstance(error, errors.ApiError):
        return _of_the_api(error)
    codes: Sequence[tuple[type[Exception], ExitCode]] = (
        (errors.UsageError, ExitCode.USAGE),
        (errors.OrchestrationRefused, ExitCode.CONFLICT),
        (errors.OrionError, ExitCode.FAILED),
    )
    for kind, code in codes:
        if isinstance(error, kind):
            what, _, why = str(error).partition("\n")
            return CommandFailed(code, what, why.strip())
    return None


def _of_the_api(error: Exception) -> CommandFailed:
    from orionflow import errors

    what, _, why = str(error).partition("\n")
    status = getattr(error, "status", None)
    if status in (401, 403):
        return CommandFailed(ExitCode.NOT_ALLOWED, what, why.strip(), "check ORION_API_KEY and your role")
    if isinstance(error, errors.DatabaseNotReady):
        return CommandFailed(
            ExitCode.UNREACHABLE, what, why.strip(), "" if "orion " in what else "orion database upgrade"
        )
    if isinstance(error, errors.ApiUnreachable):
        return CommandFailed(ExitCode.UNREACHABLE, what, why.strip(), "orion doctor")
    if isinstance(error, errors.Overloaded):
        return CommandFailed(ExitCode.UNREACHABLE, what, why.strip(), "try again in a moment")
    kinds = ((errors.NotFound, ExitCode.NOT_FOUND), (errors.Conflict, ExitCode.CONFLICT))
    code = next((code for kind, code in kinds if isinstance(error, kind)), ExitCode.USAGE)
    return CommandFailed(code, what, why.strip())


def _unforeseen(error: Exception) -> CommandFailed:
    return CommandFailed(
        ExitCode.FAILED,
        f"{type(error).__name__}: {error}",
        "Orion did not foresee this error",
        "run the command again with --debug and report the trace",
    )
