"""Ending of processes: asked first, killed later, always together with everything that they started."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

from orionflow.agent.active_runs import ActiveRun, ActiveRuns, Stop
from orionflow.agent.infrastructure import Infrastructure
from orionflow.logging import agent_logger

MESSAGES = {
    Stop.CANCELLED: "was cancelled; its process is asked to end.",
    Stop.LOST: "belongs to another attempt now; its process is killed.",
    Stop.TOO_LONG: "runs longer than its limit; its process is asked to end.",
    Stop.OUT_OF_TOUCH: "may be started elsewhere, and the agent ends; its process is killed.",
    Stop.DRAINED: "has no more time, as the agent ends; its process is asked to end.",
    Stop.LINGERING: "has ended and its process has not; it is asked to end.",
}
AT_ONCE = frozenset({Stop.LOST, Stop.OUT_OF_TOUCH})
# Seconds. A kill may have no effect if the process was about to be started, or had no group yet.
KILL_AGAIN_SECONDS = 1.0


class Stopping:
    """Stops runs, and takes care of those that do not stop or must not continue."""

    def __init__(self, active: ActiveRuns, infrastructure: Infrastructure, stop_seconds: float) -> None:
        self._active, self._infrastructure, self._seconds = active, infrastructure, stop_seconds

    def stop(self, run: ActiveRun, why: Stop) -> None:
        """Ask the process of a run to end. Repeated calls have no effect, unless the new reason is more urgent."""
        if not run.has_process or (run.stopped is not None and (why not in AT_ONCE or run.stopped in AT_ONCE)):
            return
        if run.frozen_at is not None and why not in (Stop.LOST, Stop.CANCELLED):
            # A process that continues now may overlap with another attempt.
            why = Stop.OUT_OF_TOUCH
        agent_logger.log(30 if why in AT_ONCE else 20, "%s %s", run.title, MESSAGES[why])
        run.stopped = why
        if why in AT_ONCE:
            self._kill(run)
        else:
            run.killed_at = time.monotonic() + self._seconds
            # First, as the process reads the note when the signal arrives.
            _leave_note(run)
            self._infrastructure.signal(run.key, signal.SIGTERM)
            # After the signal: a process that stood still finds it pending when it continues.
            self.thaw(run)

    def freeze(self, run: ActiveRun) -> None:
        """Freeze a run that another agent may have been given meanwhile, until the API answers."""
        agent_logger.warning(
            "%s may be started elsewhere, as no heartbeat gets through; it stands still until one does.", run.title
        )
        run.frozen_at = time.monotonic()
        self._infrastructure.signal(run.key, signal.SIGSTOP)

    def thaw(self, run: ActiveRun) -> None:
        """Continue a frozen run, because it still belongs to this agent, or has to receive a signal."""
        if run.frozen_at is None:
            return
        # The time for which it stood still does not count towards its limit.
        if run.ends_by is not None:
            run.ends_by += time.monotonic() - run.frozen_at
        run.frozen_at = None
        if run.stopped is None:
            agent_logger.info("%s still belongs to this agent, and continues.", run.title)
        self._infrastructure.signal(run.key, signal.SIGCONT)

    def _kill(self, run: ActiveRun) -> None:
        run.is_killed, run.killed_at = True, time.monotonic() + KILL_AGAIN_SECONDS
        self._infrastructure.signal(run.key, signal.SIGKILL)

    def kill_all(self) -> None:
        for run in self._active:
            self._infrastructure.signal(run.key, signal.SIGKILL)

    def look(self) -> None:
        """Check all runs. Called a few times a second."""
        now = time.monotonic()
        for run in self._active:
            if not run.has_process:
                continue
            if now < run.trusted_until:
                self.thaw(run)
            elif run.is_tried_again and not run.report:
                # A process that has reported its end does nothing any more that could overlap with the next attempt.
                self._distrust(run)
            if run.killed_at is not None and now >= run.killed_at:
                if not run.is_killed:
                    agent_logger.warning("%s does not end; its process is killed.", run.title)
                self._kill(run)
            elif run.ends_by is not None and now >= run.ends_by and run.frozen_at is None:
                self.stop(run, Stop.LINGERING if run.report else Stop.TOO_LONG)

    def _distrust(self, run: ActiveRun) -> None:
        """Handle a run that may by now have been given to another agent."""
        if run.stopped is None and run.frozen_at is None:
            if self._infrastructure.can_stand_still:
                self.freeze(run)
        elif run.stopped is not None and not run.is_killed:
            # It was asked to end, and must not use its remaining seconds while another agent may run the same.
            self._kill(run)


def _leave_note(run: ActiveRun) -> None:
    """Write the reason to a file, as a signal carries none. If that fails (full disk), the process still ends."""
    if run.note is not None and run.why_stopped:
        with suppress(OSError):
            run.note.write_text(run.why_stopped, encoding="utf-8")
