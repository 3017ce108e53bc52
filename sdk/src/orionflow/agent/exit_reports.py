"""Processes that ended: their places are free at once, and what they did not report themselves is reported for them."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from orionflow.agent.contact import Contact
from orionflow.agent.held import HeldRun, HeldRuns, Stop, signal_name
from orionflow.agent.launching import End
from orionflow.agent.telling import teller
from orionflow.calls.flow_runs import read_flow_run
from orionflow.client.transport import may_pass
from orionflow.errors import ApiError
from orionflow.reporting import replay_leftovers
from orionflow.reporting.spool import spool_folder
from orionflow.states import StateType

# A process that said so reported its end itself. Of a crash that is not sure: its report may not have got through.
REPORTED = frozenset({"COMPLETED", "FAILED", "PAUSED", "SCHEDULED"})
# What the API calls an end that was neither the run's fault nor anybody's wish.
LAUNCHER_DIED, AGENT_FAILED = "launcher died", "agent failed"
RETRY_SECONDS = 1.0
DELIVERY_SECONDS = 5.0
DELIVERIES = 720


class Endings:
    """Takes ends from the launcher and settles them one after another."""

    def __init__(self, contact: Contact, held: HeldRuns, folder: Path) -> None:
        self._contact, self._held, self._folder = contact, held, folder
        self._queue: queue.SimpleQueue[tuple[HeldRun, int | None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="orion-endings", daemon=True).start()

    def take(self, run: HeldRun, end: End) -> None:
        run.has_process = False
        self._queue.put((run, end.status))

    def _work(self) -> None:
        while True:
            run, status = self._queue.get()
            self._clear(run)
            try:
                self._settle(run, status)
            except Exception:
                # The ends of other runs wait behind this one.
                teller.exception("%s: its end could not be reported.", run.title)
            if run.told and any(spool_folder(self._contact.options.home).glob("*.jsonl")):
                threading.Thread(target=self._deliver, args=(run,), name="orion-delivery", daemon=True).start()
            else:
                self._held.remove(run)

    def _clear(self, run: HeldRun) -> None:
        shutil.rmtree(self._folder / run.key.replace(":", "-"), ignore_errors=True)
        if run.note is not None:
            run.note.unlink(missing_ok=True)

    def _deliver(self, run: HeldRun) -> None:
        """Send what a run could not report while the API was away; until then the run is kept, or it would be lost."""
        try:
            for _ in range(DELIVERIES):
                if self._is_delivered(run):
                    return
                time.sleep(DELIVERY_SECONDS)
        finally:
            self._held.remove(run)

    def _is_delivered(self, run: HeldRun) -> bool:
        try:
            replay_leftovers(self._contact.client)
            state = self._contact.client.send(read_flow_run(run.id)).state
        except ApiError as error:
            teller.debug("%s: its last reports wait for the API. %s", run.title, error)
            return False
        if state is not None and state.type is StateType.CANCELLING:
            # What the process reported came too late, and nobody else is left to say that it has ended.
            self._contact.ended(run.id, run.epoch, exit_code=0, message="The process had ended when it was cancelled.")
        return state is None or not (state.is_running() or state.is_pending())

    def _settle(self, run: HeldRun, status: int | None) -> None:
        seconds = time.monotonic() - run.began
        if run.told and run.told.get("type") in REPORTED:
            message = (run.told.get("message") or "").partition("\n")[0]
            teller.info(
                "%s ended as %s after %.1f s%s",
                run.title,
                run.told["name"],
                seconds,
                f": {message}" if message else ".",
            )
        elif run.stopped is Stop.LOST:
            teller.info("%s is not this agent's any more; its process has ended.", run.title)
        else:
            self._report(run, status, seconds)

    def _report(self, run: HeldRun, status: int | None, seconds: float) -> None:
        how = manner(run, status)
        is_told = False
        while True:
            try:
                answer = self._contact.ended(run.id, run.epoch, **how)
            except ApiError as error:
                if not may_pass(error) and (error.status or 0) < 500:
                    teller.warning("%s: %s The API did not take it: %s", run.title, how["message"], error)
                    return
                if not is_told:
                    teller.warning("%s: %s That is reported when the API answers. %s", run.title, how["message"], error)
                    is_told = True
                time.sleep(RETRY_SECONDS)
            else:
                name = _state_name(answer)
                teller.warning("%s is %s after %.1f s: %s", run.title, name, seconds, how["message"])
                return


def manner(run: HeldRun, status: int | None) -> dict[str, Any]:
    """How a process ended, in numbers for the API and in words for people."""
    told = run.told or {}
    how: dict[str, Any] = {"reason": str(run.stopped) if run.stopped else None}
    if status is None and "error" in told:
        reason = AGENT_FAILED if told.get("is_agents_fault") else how["reason"]
        return how | {"message": told["error"], "reason": reason}
    if status is None:
        lost = "The launcher of the agent died, and the process of the run with it."
        return how | {"message": lost, "reason": how["reason"] or LAUNCHER_DIED}
    why = f": {run.why_stopped}" if run.stopped else ""
    if status < 0:
        return how | {"signal": -status, "message": f"The process was ended by {signal_name(-status)}{why}."}
    if told.get("is_unheard"):
        # It gave the API up by itself: if nothing of the flow has run yet, nothing is lost.
        how["reason"] = how["reason"] or str(Stop.OUT_OF_TOUCH)
    words = told.get("error") or told.get("message") or "It did not say why."
    return how | {"exit_code": status, "message": f"The process exited with code {status}{why}. {words}"}


def _state_name(answer: Any) -> str:
    state = answer.get("state") if isinstance(answer, dict) else None
    state = state if isinstance(state, dict) else answer
    return str(state.get("name") or state.get("state_name") or "ended") if isinstance(state, dict) else "ended"
