"""A process that is restarted when it exits, after a pause that grows if it exits repeatedly."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

logger = logging.getLogger("orion.processes")

# Seconds. A process that worked for longer is started again after the shortest pause.
LONGEST_PAUSE = 30.0


class KeptProcess:
    """A child process. Its standard input transmits its orders, and is closed when this process ends in any way."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        shortest_pause: float,
        message: bytes = b"",
        descriptors: Collection[int] = (),
        on_line: Callable[[], object] | None = None,
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.starts = 0
        self._command, self._environment = command, environment
        self._shortest_pause = shortest_pause
        self._message, self._descriptors = message, descriptors
        self._on_line, self._on_end = on_line, on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"orion-keeps-{name}", daemon=True)

    @property
    def pid(self) -> int | None:
        # Read once, as the keeping thread may replace it in between.
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        self._thread.start()

    def send(self, number: signal.Signals) -> None:
        if (process := self._process) is not None:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    def let_end(self) -> None:
        """Do not restart the process when it exits."""
        self._over.set()

    def has_ended(self, within: float) -> bool:
        """Wait until the process has exited, at most `within` seconds. Return whether it has."""
        if (process := self._process) is None:
            return True
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _keep(self) -> None:
        pause = self._shortest_pause
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self._live_once()
            except OSError as error:
                logger.warning("Process %r of this server cannot be started: %s.", self.name, error.strerror)
            is_old = time.monotonic() - began > LONGEST_PAUSE
            pause = self._shortest_pause if is_old else min(2 * pause, LONGEST_PAUSE)
            if not self._over.is_set():
                logger.warning(
                    "Process %r of this server %s; it is started again in %g s.", self.name, self._how_it_ended(), pause
                )
                self._over.wait(pause)

    def _how_it_ended(self) -> str:
        if self._process is None or (code := self._process.returncode) is None:
            return "has ended"
        if code == -signal.SIGKILL:
            return "was killed by SIGKILL, usually because memory ran out"
        if code < 0:
            return f"was ended by signal {-code} ({signal.strsignal(-code) or 'unknown'})"
        return f"exited with code {code}"

    def _live_once(self) -> None:
        # In a session of its own: Ctrl-C is for the server, which then stops its processes in the right order.
        with subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=None if self._on_line is None else subprocess.PIPE,
            pass_fds=self._descriptors,
            start_new_session=True,
        ) as process:
            self._process = process
            self.starts += 1
            if self._over.is_set():
                # It was asked to stop during the start.
                process.terminate()
            # A process that ended before it read its orders is logged like any other.
            with suppress(BrokenPipeError):
                self._communicate(process)
            process.wait()
            self._on_end()

    def _communicate(self, process: subprocess.Popen[bytes]) -> None:
        if self._message and process.stdin is not None:
            process.stdin.write(self._message)
            # Flushed and left open, as the child ends when it is closed.
            process.stdin.flush()
        if self._on_line is not None and process.stdout is not None:
            for _ in process.stdout:
                self._on_line()
