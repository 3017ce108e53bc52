"""Lines that a running program prints: a test that waits for one fails with what it saw, and does not hang.

What comes after the line stays in the pipe, for `communicate` and for the next call. So nothing may be read ahead: all
that read a pipe before `communicate` do so with these functions.
"""

from __future__ import annotations

import os
import select
import time
from typing import IO, Any

# The machine may be busy with other tests; and after 180 seconds pytest ends a test without what was printed.
PATIENCE_SECONDS = 150


class NotPrinted(AssertionError):
    """The program ended, or the time was over, before it printed what was awaited."""


def read_line(pipe: IO[Any] | None, seconds: float = PATIENCE_SECONDS, errors: IO[Any] | None = None) -> str:
    """Return the next line of a pipe, with its end; fail with what has come from there and in `errors`."""
    return read_until(pipe, "", seconds, errors)


def read_until(
    pipe: IO[Any] | None, words: str, seconds: float = PATIENCE_SECONDS, errors: IO[Any] | None = None
) -> str:
    """Return all lines of a pipe up to the first one with these words; fail with what has come instead."""
    assert pipe is not None
    descriptor, until = pipe.fileno(), time.monotonic() + seconds
    seen, line = b"", b""
    while not (line.endswith(b"\n") and words.encode() in line):
        if line.endswith(b"\n"):
            seen, line = seen + line, b""
        if not _has_more(descriptor, max(0, until - time.monotonic())):
            raise NotPrinted(_complaint(words, f"did not come within {seconds:g} s", seen + line, errors))
        byte = os.read(descriptor, 1)
        if not byte:
            raise NotPrinted(_complaint(words, "did not come before the end", seen + line, errors))
        line += byte
    return (seen + line).decode()


def read_answer(pipe: IO[Any] | None, seconds: float = PATIENCE_SECONDS, errors: IO[Any] | None = None) -> str:
    """Return the one line with which a program answers, of those that print nothing more before they are asked again.

    An answer may be long, so it is read as it comes rather than byte by byte.
    """
    assert pipe is not None
    descriptor, until, seen = pipe.fileno(), time.monotonic() + seconds, b""
    while not seen.endswith(b"\n"):
        if not _has_more(descriptor, max(0, until - time.monotonic())):
            raise NotPrinted(_complaint("", f"did not come within {seconds:g} s", seen, errors))
        more = os.read(descriptor, 65536)
        if not more:
            raise NotPrinted(_complaint("", "did not come before the end", seen, errors))
        seen += more
    assert seen.count(b"\n") == 1, f"more than one answer: {seen.decode(errors='replace')}"
    return seen.decode()


def _has_more(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _complaint(words: str, what: str, seen: bytes, errors: IO[Any] | None) -> str:
    complaint = f"{words!r} {what}" if words else f"a line {what}"
    complaint += f"; the program printed: {seen.decode(errors='replace') or 'nothing'}"
    if errors is not None:
        complaint += f"; and as errors: {_waiting(errors.fileno()).decode(errors='replace') or 'nothing'}"
    return complaint


def _waiting(descriptor: int) -> bytes:
    """Read what is in a pipe, and wait for no more."""
    found = b""
    while _has_more(descriptor, 0) and (more := os.read(descriptor, 65536)):
        found += more
    return found
