"""The agent of `orion server start`: a separate process that serves the default pool, restarted when it exits."""

from __future__ import annotations

import os
import signal
import sys

from orion_site.env import orion_home
from orion_site.services.kept_process import KeptProcess

# Seconds for runs to finish when the server is asked to stop, by default; and then for runs that must be stopped.
DRAIN_SECONDS = 30.0
STOP_SECONDS = 5
# Seconds in which the agent reports the outcome of its last runs.
REPORT_SECONDS = 20
RESTART_SECONDS = 1.0


def own_broker() -> str:
    """Return the broker of the server and its agent: files that only this user can read."""
    return f"filesystem://{orion_home() / 'broker'}"


class OwnAgent(KeptProcess):
    """Keeps one agent running."""

    def __init__(self, api_url: str, concurrency: int, drain_seconds: float = DRAIN_SECONDS) -> None:
        self._drain_seconds = drain_seconds
        command = [
            *(sys.executable, "-P", "-m", "orionflow.cli", "agent", "start", "--follow-stdin"),
            *("--concurrency", str(concurrency)),
            *("--drain-timeout", str(drain_seconds), "--stop-timeout", str(STOP_SECONDS)),
        ]
        # The local owner needs no key; a key for another server would be refused.
        # nosemgrep: whole-environment-for-a-process (runs get none of it)
        environment = {**os.environ, "ORION_API_URL": api_url, "ORION_API_KEY": "none"}
        super().__init__("agent", command, environment=environment, shortest_pause=RESTART_SECONDS)

    def stop(self) -> None:
        """Drain the agent, which prints what it waits for; the API must answer until it has stopped."""
        self.let_end()
        self.hurry()
        if not self.has_ended(self._drain_seconds + STOP_SECONDS + REPORT_SECONDS):
            self.send(signal.SIGKILL)

    def hurry(self) -> None:
        """Ask the agent to stop; the second time it stops its runs at once."""
        self.send(signal.SIGTERM)
