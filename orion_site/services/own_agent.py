"""The agent of `orion server start`: a process of its own that serves the default pool, restarted when it dies."""

from __future__ import annotations

import os
import signal
import sys

from orion_site.env import orion_home
from orion_site.services.kept_process import KeptProcess

# How long runs may go on when the server is told to stop, unless it was started with another time, and how long those
# that have to end may then take.
DRAIN_SECONDS = 30.0
STOP_SECONDS = 5
# After its last run the agent reports what became of it, and leaves.
REPORT_SECONDS = 20
RESTART_SECONDS = 1.0


def own_broker() -> str:
    """Messages between the server and its agent, as files that only this user may read."""
    return f"filesystem://{orion_home() / 'broker'}"


class OwnAgent(KeptProcess):
    """Keeps one agent alive."""

    def __init__(self, api_url: str, concurrency: int, drain_seconds: float = DRAIN_SECONDS) -> None:
        self._drain_seconds = drain_seconds
        command = [
            *(sys.executable, "-P", "-m", "orionflow.cli", "agent", "start", "--follow-stdin"),
            *("--concurrency", str(concurrency)),
            *("--drain-timeout", str(drain_seconds), "--stop-timeout", str(STOP_SECONDS)),
        ]
        # It asks from this machine. A key that is meant for another server would be refused here.
        environment = {**os.environ, "ORION_API_URL": api_url, "ORION_API_KEY": "none"}
        super().__init__("agent", command, environment=environment, shortest_pause=RESTART_SECONDS)

    def stop(self) -> None:
        """Drain the agent, which says for what it waits and for how long; the API must still answer meanwhile."""
        self.let_end()
        self.hurry()
        if not self.has_ended(self._drain_seconds + STOP_SECONDS + REPORT_SECONDS):
            self.send(signal.SIGKILL)

    def hurry(self) -> None:
        """Tell the agent to end; told once more, it ends its runs at once."""
        self.send(signal.SIGTERM)
