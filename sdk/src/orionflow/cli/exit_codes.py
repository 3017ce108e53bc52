"""What `orion` leaves behind as its exit code. Scripts rely on these numbers; they never change their meaning."""

from __future__ import annotations

from enum import IntEnum


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
    """The code for a run that this command followed to its end; a run that only paused is done for now."""
    return TERMINAL_TYPES.get(state_type or "", ExitCode.DONE)
