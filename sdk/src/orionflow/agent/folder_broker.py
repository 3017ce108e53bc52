"""A kombu transport for messages in a folder that is safe for several processes.

Kombu's own reader takes a file that was created but not yet filled for a message, fails on it and ends the consumer. It
moves each message through the system's temporary folder, where other users may read it. And to be fast it lists the
folder fifty times a second, where a consumer here waits on a named pipe.
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

# Seconds. A writer fills a new file in well under a millisecond; if it died in between, the file stays empty.
PATIENCE_SECONDS = 1.0
# Seconds after which a consumer checks the folder without being woken, as writers of earlier versions do not wake it.
LOOK_AGAIN_SECONDS = 1.0
BELL = ".bell"


class Bell:
    """A named pipe that a consumer waits on, as it cannot wait on a folder; the writer of each message wakes it."""

    def __init__(self, folder: Path) -> None:
        name = f"{os.getpid()}-{uuid4().hex}{BELL}"
        self._path = folder / name
        hidden = folder / f".{name}"
        os.mkfifo(hidden, 0o600)
        # Also opened for writing: a pipe without a writer would always count as readable.
        self._pipe: int | None = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
        # Renamed only now: writers remove pipes that no process reads.
        hidden.rename(self._path)
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)

    def wait(self, seconds: float) -> None:
        if self._poll.poll(int(seconds * 1000) + 1) and self._pipe is not None:
            os.read(self._pipe, 65536)

    def close(self) -> None:
        """Close the pipe and remove it. May be called repeatedly."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._path.unlink(missing_ok=True)
            os.close(pipe)


def ring(folder: Path) -> None:
    """Wake every consumer that waits on a pipe in this folder."""
    for path in folder.glob(f"[!.]*{BELL}"):
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            # No process has it open: its consumer was killed.
            if error.errno == ENXIO:
                path.unlink(missing_ok=True)
            continue
        # A full pipe has been written to, so its consumer is awake.
        with suppress(BlockingIOError):
            os.write(pipe, b"!")
        os.close(pipe)


class Channel(filesystem.Channel):
    """The channel of kombu's file system transport, with safe reading and a wake-up for each new message."""

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
    """Return the message in `file`, if this process is the one that takes it."""
    # Renaming is atomic, and no queue's name starts with a dot.
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
    """The transport that `orionflow.agent.broker` registers with kombu."""

    Channel = Channel

    # Kombu's type stubs allow transports without them.
    client: Any
    cycle: Any
    _bell: Bell | None = None

    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> Any:
        """Deliver one message; raise TimeoutError if none arrived in time."""
        until = None if timeout is None else time.monotonic() + timeout
        # Done before the first check, so that no message is missed between the check and the wait.
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
        # A channel at its prefetch limit takes no message, and nothing wakes this thread when it may take one again.
        if self._bell is None or not all(channel.qos.can_consume() for channel in self.channels or ()):
            time.sleep(min(seconds, self.polling_interval or seconds))
        else:
            self._bell.wait(seconds)

    def close_connection(self, connection: Any) -> None:
        super().close_connection(connection)
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
