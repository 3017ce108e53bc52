"""Exit codes, and the boundary where each failure of a command becomes three lines: the error, its reason and the fix.

Code below this module never prints an error or calls exit; it raises.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import click

from orionflow.cli.terminal import Terminal
from orionflow.spelling import did_you_mean

if TYPE_CHECKING:
    from orionflow.errors import ApiError


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ALLOWED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    CRASHED = 7
    CANCELLED = 8
    TIMED_OUT = 9
    VERSIONS_DIFFER = 10
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "done; for `run` and `watch`: the run Completed",
    ExitCode.FAILED: "the run ended Failed, or a check found problems",
    ExitCode.USAGE: "wrong usage, or refused without --yes",
    ExitCode.UNREACHABLE: "the API or its database cannot be reached",
    ExitCode.NOT_ALLOWED: "not logged in, or not allowed",
    ExitCode.NOT_FOUND: "not found, or the name is ambiguous",
    ExitCode.CONFLICT: "conflict: the rules refused the transition (the reason is printed)",
    ExitCode.CRASHED: "the run ended Crashed",
    ExitCode.CANCELLED: "the run ended Cancelled",
    ExitCode.TIMED_OUT: "--timeout passed and the run is still active",
    ExitCode.VERSIONS_DIFFER: "client and server versions do not fit",
    ExitCode.INTERRUPTED: "interrupted",
}

TERMINAL_TYPES = {
    "COMPLETED": ExitCode.DONE,
    "FAILED": ExitCode.FAILED,
    "CRASHED": ExitCode.CRASHED,
    "CANCELLED": ExitCode.CANCELLED,
}


def exit_code_of_state(state_type: str | None) -> ExitCode:
    """Return the exit code for a run that this command followed to its end; a paused run counts as done."""
    return TERMINAL_TYPES.get(state_type or "", ExitCode.DONE)


_NOT_A_CHOICE = re.compile(r"'(.*?)' is not one of ")


class CommandFailed(Exception):
    """A command cannot do what it was asked to do."""

    def __init__(self, code: ExitCode, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.why = why
        self.fix = fix


# Errors of writing to a device, as in `orion fr ls > /dev/full`.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT})


def guarded(action: Callable[[], object], terminal: Terminal) -> int:
    """Run a command and return its exit code, whatever happens in it."""
    try:
        outcome = action()
        # Flushing may fail as well, and Python would report that at exit with a message of its own.
        sys.stdout.flush()
    except BrokenPipeError:
        # `orion fr ls | head` closes our stdout early.
        _leave_output()
        return ExitCode.DONE
    except (KeyboardInterrupt, click.Abort):
        terminal.note("")
        terminal.note("Interrupted.")
        return ExitCode.INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
            _leave_output()
            why = error.strerror or str(error)
            return _report(CommandFailed(ExitCode.FAILED, f"The output cannot be written: {why}"), terminal)
        if terminal.debug:
            traceback.print_exc(file=sys.stderr)
        return _report(error, terminal)
    return int(outcome) if isinstance(outcome, int) else ExitCode.DONE


def _leave_output() -> None:
    """Redirect stdout, so that the interpreter's own flush at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: Exception, terminal: Terminal) -> int:
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        terminal.error_detail(error.format_message())
        return ExitCode.USAGE
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
    """Return the error for the user, with message and exit code."""
    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, click.ClickException):
        return CommandFailed(ExitCode.FAILED, error.format_message())
    if isinstance(error, UnicodeEncodeError) and any(map(_is_surrogate, error.object[error.start : error.end])):
        return CommandFailed(ExitCode.USAGE, "An argument contains bytes that are not UTF-8.")
    return _of_the_sdk(error) or _of_a_file(error) or _unforeseen(error)


# Messages of click about values, and ours in their place.
_PLAIN_WORDS = (
    (re.compile(r"is not a valid integer(?: range)?\.$"), "is not a whole number."),
    (re.compile(r"is not a valid float(?: range)?\.$"), "is not a number."),
    (re.compile(r"does not match the format '%Y-%m-%d'\.$"), "is not a day; write it as 2026-12-24."),
)


def _usage(error: click.UsageError) -> CommandFailed:
    path = error.ctx.command_path if error.ctx else "orion"
    fix = getattr(error, "fix", "") or _proposal(error) or f"{path} --help"
    what = f"No such option: {error.option_name}" if isinstance(error, click.NoSuchOption) else error.format_message()
    for pattern, words in _PLAIN_WORDS:
        what = pattern.sub(words, what)
    return CommandFailed(ExitCode.USAGE, what, fix=fix)


def _proposal(error: click.UsageError) -> str:
    """Return a suggestion of the option or choice that was probably meant."""
    known: list[str] = []
    typed = ""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        typed = error.option_name
        known = [name for one in error.ctx.command.get_params(error.ctx) for name in (*one.opts, *one.secondary_opts)]
        known = [name for name in known if name.startswith("--")]
    elif isinstance(error, click.BadParameter) and error.param and isinstance(error.param.type, click.Choice):
        found = _NOT_A_CHOICE.search(error.message)
        typed, known = found[1] if found else "", list(error.param.type.choices)
    dashes = "--" if isinstance(error, click.NoSuchOption) else ""
    return did_you_mean(typed.lstrip("-"), [name.lstrip("-") for name in known], before=dashes) if typed else ""


def _of_the_sdk(error: Exception) -> CommandFailed | None:
    from orionflow import errors

    if isinstance(error, errors.ApiError):
        return _of_the_api(error)
    codes: Sequence[tuple[type[Exception], ExitCode]] = (
        (errors.ProfileMissing, ExitCode.NOT_FOUND),
        (errors.UsageError, ExitCode.USAGE),
        (errors.OrchestrationRefused, ExitCode.CONFLICT),
        (errors.OrionError, ExitCode.FAILED),
    )
    for kind, code in codes:
        if isinstance(error, kind):
            what, _, why = str(error).partition("\n")
            return CommandFailed(code, what, why.strip())
    return None


def _of_the_api(error: ApiError) -> CommandFailed:
    from orionflow import errors

    what, why = _question_and_answer(error)
    rows: Sequence[tuple[type[Exception], ExitCode, str]] = (
        (errors.DatabaseNotReady, ExitCode.UNREACHABLE, "orion database upgrade"),
        (errors.ApiUnreachable, ExitCode.UNREACHABLE, "orion server start, or orion doctor"),
        (errors.NotAllowed, ExitCode.NOT_ALLOWED, "check ORION_API_KEY and your role"),
        (errors.NotFound, ExitCode.NOT_FOUND, ""),
        (errors.Conflict, ExitCode.CONFLICT, ""),
        (errors.Overloaded, ExitCode.UNREACHABLE, "try again in a moment"),
        (errors.InvalidRequest, ExitCode.USAGE, ""),
    )
    for kind, code, fix in rows:
        if isinstance(error, kind):
            # Many messages contain advice already.
            is_advised = "`orion " in what or "ORION_HOME" in what
            return CommandFailed(code, what, why, "" if is_advised else fix)
    return CommandFailed(ExitCode.FAILED, what, why, "look into the server's log")


def _question_and_answer(error: ApiError) -> tuple[str, str]:
    """Return the API's message, and as the reason the request that it answered."""
    asked, answered, reply = str(error).partition(" was answered with ")
    if not answered:
        what, _, why = str(error).partition("\n")
        return what, why.strip()
    status, _, sentence = reply.partition(": ")
    return sentence, f"{asked} was answered with {status}"


def _is_surrogate(letter: str) -> bool:
    # Python has these in place of bytes of the command line that it cannot decode.
    return "\ud800" <= letter <= "\udfff"


def _of_a_file(error: Exception) -> CommandFailed | None:
    """Return a failure for an error of the system about a file that the user named, if it is one."""
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return None
    name = str(error.filename)
    shown = name if len(name) <= LONGEST_PATH_SHOWN else f"{name[:LONGEST_PATH_SHOWN]}…"
    codes = {errno.ENAMETOOLONG: ExitCode.USAGE, errno.ENOENT: ExitCode.NOT_FOUND}
    return CommandFailed(codes.get(error.errno or 0, ExitCode.FAILED), f"{shown}: {error.strerror}.")


LONGEST_PATH_SHOWN = 200


def _unforeseen(error: Exception) -> CommandFailed:
    return CommandFailed(
        ExitCode.FAILED,
        f"{type(error).__name__}: {error}",
        "Orion did not foresee this error",
        "run the command again with --debug and report the trace",
    )
