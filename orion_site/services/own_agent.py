"""The agent of `orion server start`: a process of its own that serves the default pool, restarted when it dies."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

from orion_site.env import orion_home

logger = logging.getLogger("orion.agent")

# How long runs may go on when the server is told to stop, unless it was started with another time, and how long those
# that have to end may then take.
DRAIN_SECONDS = 30.0
STOP_SECONDS = 5
# After its last run the agent reports what became of it, and leaves.
REPORT_SECONDS = 20
RESTART_SECONDS = 1.0
LONGEST_PAUSE = 30.0


def own_broker() -> str:
    """Messages between the server and its agent, as files that only this user may read."""
    return f"filesystem://{orion_home() / 'broker'}"


class OwnAgent:
    """Keeps one agent alive. The pipe to its stdin tells it when this process is gone, however it went."""

    def __init__(self, api_url: str, concurrency: int, drain_seconds: float = DRAIN_SECONDS) -> None:
        self._drain_seconds = drain_seconds
        # It asks from this machine. A key that is meant for another server would be refused here.
        self._environment = {**os.environ, "ORION_API_URL": api_url, "ORION_API_KEY": "none"}
        self._command = [
            *(sys.executable, "-P", "-m", "orionflow.cli", "agent", "start", "--follow-stdin"),
            *("--concurrency", str(concurrency)),
            *("--drain-timeout", str(drain_seconds), "--stop-timeout", str(STOP_SECONDS)),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="orion-own-agent", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Drain the agent, which says for what it waits and for how long; the API must still answer meanwhile."""
        self._over.set()
        if (process := self._process) is None:
            return
        self.hurry()
        try:
            process.wait(self._drain_seconds + STOP_SECONDS + REPORT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    def hurry(self) -> None:
        """Tell the agent to end; told once more, it ends its runs at once."""
        if (process := self._process) is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    def _keep(self) -> None:
        pause = RESTART_SECONDS
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self._live_once()
            except OSError as error:
                logger.warning("The agent of this server cannot be started: %s.", error.strerror)
            pause = RESTART_SECONDS if time.monotonic() - began > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            if not self._over.is_set():
                logger.warning("The agent of this server has ended; it is started again in %g s.", pause)
                self._over.wait(pause)

    def _live_once(self) -> None:
        # In a session of its own: Ctrl-C is for the server, which then drains its agent while it still answers.
        with subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.PIPE, start_new_session=True
        ) as process:
            self._process = process
            if self._over.is_set():
                # Told to stop while it was being started.
                process.terminate()
            process.wait()
