"""Small values that all workers of a server share: two numbers per name, in the memory of one process or of all.

A full table drops the least recently written row. The values need no database: they are lost when the server stops.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import blake2b
from typing import Protocol

Numbers = tuple[float, float]

# The digest of a name, and its two numbers.
ROW = struct.Struct("=16sdd")
NOBODY = bytes(16)
# Rows in one set; a name may be in any row of its set.
WAYS = 8
COUNT = struct.Struct("=q")
MOST_WORKERS = 64
# The number of sets for each table.
SETS = {"requests": 1280, "guesses": 1280, "good keys": 1280, "links": 4}


class Rows(Protocol):
    """Two numbers for each name. The second one is a time of the monotonic clock; the oldest row is replaced first."""

    def locked(self) -> AbstractContextManager[object]: ...

    def get(self, name: str) -> Numbers | None: ...

    def put(self, name: str, numbers: Numbers) -> None: ...

    def pop(self, name: str) -> Numbers | None: ...

    def clear(self) -> None: ...


class OwnRows:
    """Rows of one process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.RLock()
        self._rows: OrderedDict[str, Numbers] = OrderedDict()

    def locked(self) -> AbstractContextManager[object]:
        return self._lock

    def get(self, name: str) -> Numbers | None:
        return self._rows.get(name)

    def put(self, name: str, numbers: Numbers) -> None:
        self._rows[name] = numbers
        self._rows.move_to_end(name)
        if len(self._rows) > self._most:
            self._rows.popitem(last=False)

    def pop(self, name: str) -> Numbers | None:
        return self._rows.pop(name, None)

    def clear(self) -> None:
        self._rows.clear()


class SharedRows:
    """Rows in memory that several processes share. Each set keeps its newest rows."""

    def __init__(self, sheet: Sheet, first: int, sets: int) -> None:
        self._sheet, self._first, self._sets = sheet, first, sets

    def locked(self) -> AbstractContextManager[object]:
        return self._sheet.locked()

    def get(self, name: str) -> Numbers | None:
        digest = _digest(name)
        return next((numbers for _, found, numbers in self._set_of(digest) if found == digest), None)

    def put(self, name: str, numbers: Numbers) -> None:
        digest = _digest(name)
        rows = list(self._set_of(digest))
        # The row of this name, or else the least recently written one; empty rows come first.
        place = min(rows, key=lambda row: (row[1] != digest, row[2][1]))[0]
        ROW.pack_into(self._sheet.memory, place, digest, *numbers)

    def pop(self, name: str) -> Numbers | None:
        digest = _digest(name)
        for place, found, numbers in self._set_of(digest):
            if found == digest:
                ROW.pack_into(self._sheet.memory, place, NOBODY, 0.0, 0.0)
                return numbers
        return None

    def clear(self) -> None:
        self._sheet.memory[self._first : self._first + _size(self._sets)] = bytes(_size(self._sets))

    def _set_of(self, digest: bytes) -> Iterator[tuple[int, bytes, Numbers]]:
        number = int.from_bytes(digest[:4], "little") % self._sets
        begin = self._first + _size(number)
        for place in range(begin, begin + _size(1), ROW.size):
            found, one, other = ROW.unpack_from(self._sheet.memory, place)
            yield place, found, (one, other)


class Sheet:
    """Memory that the workers of one server share, by the descriptor of an unnamed file."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _unnamed_file() if descriptor is None else descriptor
        size = MOST_WORKERS * COUNT.size + sum(map(_size, SETS.values()))
        if descriptor is None:
            os.ftruncate(self.descriptor, size)
        self.memory = mmap.mmap(self.descriptor, size)
        # File locks belong to processes, so threads need a lock of their own.
        self._lock, self._depth = threading.RLock(), 0

    def rows(self, name: str) -> SharedRows:
        first = MOST_WORKERS * COUNT.size
        for other, sets in SETS.items():
            if other == name:
                return SharedRows(self, first, sets)
            first += _size(sets)
        raise KeyError(name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock out other threads and processes. The kernel releases the lock of a killed process."""
        import fcntl

        with self._lock:
            self._depth += 1
            if self._depth == 1:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    def connections(self, worker: int) -> int:
        """Return the number of a worker's connections; negative while it accepts none."""
        number: int = COUNT.unpack_from(self.memory, worker * COUNT.size)[0]
        # Stored with one added, so that memory in which nobody wrote means a worker that accepts none.
        return number - 1

    def note_connections(self, worker: int, number: int) -> None:
        """Set the number of a worker's connections; only the worker does so, or the server while the worker is not
        running.
        """
        COUNT.pack_into(self.memory, worker * COUNT.size, number + 1)

    def fewest_connections(self) -> int:
        """Return the fewest connections of the workers that accept any."""
        return min((one for one in map(self.connections, range(MOST_WORKERS)) if one >= 0), default=0)


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("orion-workers")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _digest(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "replace"), digest_size=16).digest()


def _size(sets: int) -> int:
    return sets * WAYS * ROW.size
