"""A pipe for log lines from child processes, without a lock: a child that dies as it writes a line holds up no other.

The system writes up to `PIPE_BUF` bytes as a whole or not at all. Longer lines are sent in pieces, which the parent
joins. A line that was interrupted, by the end of its process or by a time limit, is left out.
"""

from __future__ import annotations

import os
import pickle
import select
import struct
from collections.abc import Iterator
from contextlib import suppress
from logging import LogRecord
from multiprocessing import Pipe, connection

# The process, the position of the piece in its line, and the length of the line.
_HEAD = struct.Struct("!III")
# In bytes, next to the head and the length that `send_bytes` adds. POSIX promises 512; Windows keeps messages whole.
_LARGEST_PIECE = getattr(select, "PIPE_BUF", 512) - _HEAD.size - 4


class LogWriter:
    """The end of the pipe that children write to."""

    def __init__(self, pipe: connection.Connection) -> None:
        self._pipe = pipe

    def put(self, line: LogRecord) -> None:
        """Send a line. The process calls this in one thread at a time."""
        packed, sender = pickle.dumps(line), os.getpid()
        for start in range(0, len(packed), _LARGEST_PIECE):
            piece = packed[start : start + _LARGEST_PIECE]
            self._pipe.send_bytes(_HEAD.pack(sender, start, len(packed)) + piece)

    def close(self) -> None:
        self._pipe.close()


class LogReader:
    """The parent's end of the pipe."""

    def __init__(self, pipe: connection.Connection) -> None:
        self._pipe = pipe
        # Of the parent alone, so that no child can hold up the end.
        self._ending, self._end = Pipe(duplex=False)
        # Of each process, the pieces of a line that is still incomplete.
        self._incomplete: dict[int, bytearray] = {}

    def packed_lines(self) -> Iterator[bytes]:
        """Yield pickled lines as they come, until `end`, and then those that are in the pipe already."""
        with self._pipe, self._ending:
            # The pipe comes first if both are ready.
            while self._pipe in connection.wait([self._pipe, self._ending]):
                try:
                    piece = self._pipe.recv_bytes()
                except EOFError:
                    return
                if (packed := self._joined(piece)) is not None:
                    yield packed

    def end(self) -> None:
        # Closing it is not enough: a forked process may have a copy.
        with self._end, suppress(BrokenPipeError):
            self._end.send_bytes(b"")

    def _joined(self, piece: bytes) -> bytes | None:
        """Return the line that ends with this piece; None if there is more of it, or an earlier piece is missing."""
        sender, start, length = _HEAD.unpack_from(piece)
        line = self._incomplete.pop(sender, bytearray()) if start else bytearray()
        if len(line) != start:
            return None
        line += memoryview(piece)[_HEAD.size :]
        if len(line) == length:
            return bytes(line)
        self._incomplete[sender] = line
        return None


def log_pipe() -> tuple[LogReader, LogWriter]:
    """Return both ends of a new pipe. The end for writing can be an argument of a process that is started."""
    reading, writing = Pipe(duplex=False)
    return LogReader(reading), LogWriter(writing)
