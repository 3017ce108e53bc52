"""Processes that ended: their slots become free at once, and ends that they did not report are reported for them."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from orionflow.agent.active_runs import ActiveRun, ActiveRuns, Stop, signal_name
from orionflow.agent.agent_client import AgentClient
from orionflow.agent.infrastructure import End, Infrastructure
from orionflow.calls.flow_runs import read_flow_run
from orionflow.client.transport import may_pass
from orionflow.errors import ApiError
from orionflow.logging import agent_logger
from orionflow.reporting import replay_leftovers
from orionflow.reporting.spool import spool_folder
from orionflow.states import StateType

# A process that exited with one of these reported its end itself. For a crash that is uncertain: its report may be
# lost.
REPORTED = frozenset({"COMPLETED", "FAILED", "PAUSED", "SCHEDULED"})
# The API's names for ends that were neither the run's fault nor requested.
LAUNCHER_DIED, AGENT_FAILED = "launcher died", "agent failed"
RETRY_SECONDS = 1.0
DELIVERY_SECONDS = 5.0
DELIVERIES = 720


class ExitReporter:
    """Receives ends from the launcher and handles them one after another."""

    def __init__(
        self, api: AgentClient, active: ActiveRuns, infrastructure: Infrastructure, folder: Path
    ) -> None:  # fmt: skip
        self._api, self._active, self._infrastructure, self._folder = api, active, infrastructure, folder
        self._queue: queue.SimpleQueue[tuple[ActiveRun, End]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="orion-exit-reports", daemon=True).start()

    def take(self, run: ActiveRun, end: End) -> None:
        run.has_process = False
        self._queue.put((run, end))

    def _work(self) -> None:
        while True:
            run, end = self._queue.get()
            self._clear(run)
            try:
                self._settle(run, end)
                self._infrastructure.clear(run.key)
            except Exception:
                # The ends of other runs wait behind this one.
                agent_logger.exception("%s: its end could not be reported.", run.title)
            if run.report and any(spool_folder(self._api.options.home).glob("*.jsonl")):
                threading.Thread(target=self._deliver, args=(run,), name="orion-delivery", daemon=True).start()
            else:
                self._active.remove(run)

    def _clear(self, run: ActiveRun) -> None:
        shutil.rmtree(self._folder / run.key.replace(":", "-"), ignore_errors=True)
        if run.note is not None:
            run.note.unlink(missing_ok=True)

    def _deliver(self, run: ActiveRun) -> None:
        """Send what a run could not report while the API was away. Until then the run is kept, or it would be lost."""
        try:
            for _ in range(DELIVERIES):
                if self._is_delivered(run):
                    return
                time.sleep(DELIVERY_SECONDS)
        finally:
            self._active.remove(run)

    def _is_delivered(self, run: ActiveRun) -> bool:
        try:
            replay_leftovers(self._api.client)
            state = self._api.client.send(read_flow_run(run.id)).state
        except ApiError as error:
            agent_logger.debug("%s: its last reports wait for the API. %s", run.title, error)
            return False
        if state is not None and state.type is StateType.CANCELLING:
            # The report of the process came too late, and no other process will report the end.
            self._api.ended(run.id, run.epoch, exit_code=0, message="The process had ended when it was cancelled.")
        return state is None or not (state.is_running() or state.is_pending())

    def _settle(self, run: ActiveRun, end: End) -> None:
        seconds = time.monotonic() - run.began
        if run.report and run.report.get("type") in REPORTED:
            message = (run.report.get("message") or "").partition("\n")[0]
            agent_logger.info(
                "%s ended as %s after %.1f s%s",
                run.title,
                run.report["name"],
                seconds,
                f": {message}" if message else ".",
            )
        elif run.stopped is Stop.LOST:
            agent_logger.info("%s is not this agent's any more; its process has ended.", run.title)
        else:
            self._report(run, end, seconds)

    def _report(self, run: ActiveRun, end: End, seconds: float) -> None:
        how = manner(run, end)
        is_logged = False
        while True:
            try:
                answer = self._api.ended(run.id, run.epoch, **how)
            except ApiError as error:
                if not may_pass(error) and (error.status or 0) < 500:
                    agent_logger.warning("%s: %s The API did not take it: %s", run.title, how["message"], error)
                    return
                if not is_logged:
                    agent_logger.warning(
                        "%s: %s That is reported when the API answers. %s", run.title, how["message"], error
                    )
                    is_logged = True
                time.sleep(RETRY_SECONDS)
            else:
                name = _state_name(answer)
                agent_logger.warning("%s is %s after %.1f s: %s", run.title, name, seconds, how["message"])
                return


def manner(run: ActiveRun, end: End) -> dict[str, Any]:
    """Return how an attempt ended, in numbers for the API and as a text for users."""
    report, status = run.report or {}, end.status
    how: dict[str, Any] = {"reason": str(run.stopped) if run.stopped else None}
    why = f": {run.why_stopped}" if run.stopped else ""
    if end.cause is not None:
        reason = how["reason"] or (AGENT_FAILED if end.is_agents_fault else None)
        return how | {"exit_code": status, "message": f"{end.cause.removesuffix('.')}{why}.", "reason": reason}
    if status is None and "error" in report:
        reason = AGENT_FAILED if report.get("is_agents_fault") else how["reason"]
        return how | {"message": report["error"], "reason": reason}
    if status is None:
        lost = "The launcher of the agent died, and the process of the run with it."
        return how | {"message": lost, "reason": how["reason"] or LAUNCHER_DIED}
    if status < 0:
        return how | {"signal": -status, "message": f"The process was ended by {signal_name(-status)}{why}."}
    if report.get("is_out_of_touch"):
        # The process gave up on the API by itself: if no code of the flow has run yet, nothing is lost.
        how["reason"] = how["reason"] or str(Stop.OUT_OF_TOUCH)
    words = report.get("error") or report.get("message") or "It did not say why."
    return how | {"exit_code": status, "message": f"The process exited with code {status}{why}. {words}"}


def _state_name(answer: Any) -> str:
    state = answer.get("state") if isinstance(answer, dict) else None
    state = state if isinstance(state, dict) else answer
    return str(state.get("name") or state.get("state_name") or "ended") if isinstance(state, dict) else "ended"
