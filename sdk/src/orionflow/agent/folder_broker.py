"""Kombu's messages in a folder, read with the care that several processes need.

Kombu's own reader takes a file that its writer has made but not yet filled for a message, fails on it and ends the
consumer; it moves each message through the system's temporary folder, where others may read it; and it lists the folder
fifty times a second to be quick, where a consumer here waits for a bell.
"""

from __future__ import annotations

import json
import os
import select
import time
import weakref
from contextlib import suppress
from errno import ENXIO
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.transport import filesystem

# A writer needs well under a millisecond from making a file to filling it; one that died in between never will.
PATIENCE_SECONDS = 1.0
# How long a consumer trusts its bell. A writer of an earlier version rings none.
LOOK_AGAIN_SECONDS = 1.0
BELL = ".bell"


class Bell:
    """A named pipe that a consumer waits on, and that every writer of a message rings: no file system calls anybody."""

    def __init__(self, folder: Path) -> None:
        name = f"{os.getpid()}-{uuid4().hex}{BELL}"
        self._path = folder / name
        hidden = folder / f".{name}"
        os.mkfifo(hidden, 0o600)
        # Opened for writing as well: a pipe that nobody can write to counts as readable for ever.
        self._pipe: int | None = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
        # Shown only now: whoever rings removes the pipes that nobody reads.
        hidden.rename(self._path)
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)

    def wait(self, seconds: float) -> None:
        if self._poll.poll(int(seconds * 1000) + 1) and self._pipe is not None:
            os.read(self._pipe, 65536)

    def close(self) -> None:
        """May be called again."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._path.unlink(missing_ok=True)
            os.close(pipe)


def ring(folder: Path) -> None:
    """Wake every consumer that waits on a bell in this folder."""
    for path in folder.glob(f"[!.]*{BELL}"):
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            # Nobody has it open: its consumer was killed.
            if error.errno == ENXIO:
                path.unlink(missing_ok=True)
            continue
        # A full pipe has been rung already.
        with suppress(BlockingIOError):
            os.write(pipe, b"!")
        os.close(pipe)


class Channel(filesystem.Channel):
    """The channel of kombu's file system transport, with another way to take a message and a bell for each new one."""

    def _put(self, *message: Any, **options: Any) -> None:
        super()._put(*message, **options)
        ring(self.control_folder)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.partition(".")[2] == f"{queue}.msg" and (message := _taken(folder / name)) is not None:
                return message
        raise Empty


def _taken(file: Path) -> Any:
    """Return the message in `file`, if this process is the one that gets it."""
    # Renaming is atomic, and no queue's name begins with a dot.
    own = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        os.rename(file, own)
    except OSError:
        return None
    try:
        return _filled(own)
    finally:
        own.unlink(missing_ok=True)


def _filled(file: Path) -> Any:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            return json.loads(file.read_bytes())
        except ValueError:
            time.sleep(0.001)
    return None


class Transport(filesystem.Transport):
    """The transport that `orionflow.agent.broker` makes known to kombu."""

    Channel = Channel

    # Kombu's types allow for transports without them.
    client: Any
    cycle: Any
    _bell: Bell | None = None

    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> Any:
        """Deliver one message; raise TimeoutError when none came in time."""
        until = None if timeout is None else time.monotonic() + timeout
        # Before the first look, so that no message comes unnoticed between the look and the wait.
        self._hang_bell()
        while True:
            try:
                return self.cycle.get(self._deliver, timeout=timeout)
            except Empty:
                left = LOOK_AGAIN_SECONDS if until is None else until - time.monotonic()
                if left <= 0:
                    raise TimeoutError from None
                self._wait(min(left, LOOK_AGAIN_SECONDS))

    def _hang_bell(self) -> None:
        if self._bell is None and hasattr(os, "mkfifo"):
            # Some file systems have no named pipes.
            with suppress(OSError):
                self._bell = Bell(Path(self.client.transport_options["control_folder"]))
                weakref.finalize(self, self._bell.close)

    def _wait(self, seconds: float) -> None:
        # A channel whose consumer holds all that it may looks at no message; that it may again, nobody rings for.
        if self._bell is None or not all(channel.qos.can_consume() for channel in self.channels or ()):
            time.sleep(min(seconds, self.polling_interval or seconds))
        else:
            self._bell.wait(seconds)

    def close_connection(self, connection: Any) -> None:
        super().close_connection(connection)
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
