"""The worker's side: a Celery worker whose threads take offers, let processes call the functions, and report."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Sequence
from queue import LifoQueue
from typing import Any

from orionflow.errors import WorkerCrashed
from orionflow.task_calls.caller import OFFER
from orionflow.task_calls.child_process import ChildProcess
from orionflow.task_calls.mailbox import Mailbox, Message, now
from orionflow.task_calls.seal import BrokenSeal, Sealed, seal, unseal

logger = logging.getLogger("orionflow.task_calls")

ALIVE_SECONDS = 2.0
# Seconds. A flow that has not answered by then has probably ended; its old offers must not delay others.
ANSWER_SECONDS = 2.0
# Seconds for which an outcome is kept for a flow that has not acknowledged it, and the number of finished calls that
# are remembered.
KEEP_SECONDS = 120.0
MOST_FINISHED = 10_000


class TaskWorker:
    """Takes calls from the flows that offer them, as many at the same time as it has processes."""

    def __init__(self, app: Any, *, queues: Sequence[str], concurrency: int, name: str, key: bytes) -> None:
        self.app = app
        self.name = name
        self._key = key
        self._queues = [f"orion-tasks.{queue}" for queue in queues]
        self._concurrency = concurrency
        # The one that worked last is used first, so that no more of them are started than are needed.
        self._children: LifoQueue[ChildProcess] = LifoQueue()
        for _ in range(concurrency):
            self._children.put(ChildProcess())
        # Protects the two below: threads of Celery, of the mailbox and of heartbeats use them.
        self._lock = threading.Lock()
        self._taken: dict[str, _Taken] = {}
        # The report of each call and its time; None once the flow has it, or can no longer need it.
        self._finished: dict[str, tuple[Message, float] | None] = {}
        # When the broker last refused a message.
        self._refused_at = 0.0
        self._mailbox = Mailbox(app, self._receive)
        self._stop = threading.Event()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; running calls are finished first."""
        self.app.task(name=OFFER)(self.take)
        self._mailbox.open()
        threading.Thread(target=self._send_heartbeats, name="orion-task-heartbeat", daemon=True).start()
        try:
            self._celery_worker().start()
        finally:
            self._stop.set()
            self._mailbox.close()
            while not self._children.empty():
                self._children.get().close()

    def _celery_worker(self) -> Any:
        # The warning about running as root is for the user who starts it; the content of messages is sealed.
        warnings.filterwarnings("ignore", module="celery.platforms")
        return self.app.Worker(
            pool="threads",
            concurrency=self._concurrency,
            queues=self._queues,
            hostname=f"{self.name}@orion",
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )

    def take(self, call_id: str, flow: str) -> None:
        """Ask for an offered call and execute it if it is still available."""
        with self._lock:
            if call_id in self._taken:
                # Another thread asks for it or executes it: its flow repeated the offer while all threads were busy.
                return
            if call_id in self._finished:
                # Its flow does not know that yet, and will ask.
                return
            taken = self._taken[call_id] = _Taken(flow)
        try:
            if (sealed := self._asked_for(call_id, taken)) is not None:
                report = self._outcome(call_id, taken, sealed)
                with self._lock:
                    self._finished[call_id] = (report, now())
                self._report(flow, report)
                with self._lock:
                    self._forget_long_finished()
        finally:
            with self._lock:
                self._taken.pop(call_id, None)

    def _forget_long_finished(self) -> None:
        # Oldest first, as they were added.
        for call_id, kept in self._finished.items():
            if kept is None:
                continue
            # While the broker is away, flows cannot ask for it.
            if now() - max(kept[1], self._refused_at) < KEEP_SECONDS:
                break
            self._finished[call_id] = None
        while len(self._finished) > MOST_FINISHED:
            del self._finished[next(iter(self._finished))]

    def _asked_for(self, call_id: str, taken: _Taken) -> Sealed | None:
        self._mailbox.send(taken.flow, self._from_here("take", call_id) | {"name": self.name})
        # Not with the lock, which the thread of the mailbox needs to pass the answer on.
        taken.answered.wait(ANSWER_SECONDS)
        with self._lock:
            if taken.payload is None:
                # Later messages for it are declined.
                del self._taken[call_id]
            return taken.payload

    def _outcome(self, call_id: str, taken: _Taken, sealed: Sealed) -> Message:
        """Call the function and return the report."""
        try:
            outcome = self._called(taken, unseal(self._key, f"call {call_id}", sealed))
        except BrokenSeal as error:
            logger.error("%s", error)
            return self._from_here("died", call_id) | {"reason": f"{self.name}: {error}"}
        except WorkerCrashed as error:
            return self._from_here("died", call_id) | {"reason": f"On task worker {self.name}: {error}"}
        return self._from_here("done", call_id) | {"outcome": seal(self._key, f"outcome {call_id}", outcome)}

    def _called(self, taken: _Taken, payload: bytes) -> bytes:
        child = self._children.get()
        with self._lock:
            taken.child = child
        try:
            return child.call(payload)
        finally:
            with self._lock:
                taken.child = None
            self._children.put(child)

    def _report(self, flow: str, report: Message) -> None:
        """Report an outcome, repeatedly if the broker is away for a short time."""
        for seconds in (0.5, 1, 2, 4, 8):
            if self._send(flow, report):
                return
            self._stop.wait(seconds)
        logger.error("The outcome of a task could not be reported; its flow will ask for it when the broker is back.")

    def _send(self, flow: str, message: Message) -> bool:
        is_taken = self._mailbox.send(flow, message)
        if not is_taken:
            self._refused_at = now()
        return is_taken

    def _from_here(self, kind: str, call_id: str) -> Message:
        return {"kind": kind, "call": call_id, "worker": self._mailbox.name}

    def _receive(self, message: Message) -> None:
        call_id = message["call"]
        with self._lock:
            taken = self._taken.get(call_id)
            if message["kind"] == "stop":
                if taken is not None and taken.child is not None:
                    taken.child.kill()
                return
            if message["kind"] == "thanks":
                if call_id in self._finished:
                    self._finished[call_id] = None
                return
            if taken is not None:
                taken.receive(message)
                return
            is_finished, kept = call_id in self._finished, self._finished.get(call_id)
        if message["kind"] == "given":
            self._mailbox.send(message["flow"], self._answer(message, is_finished, kept))

    def _answer(self, message: Message, is_finished: bool, kept: tuple[Message, float] | None) -> Message:
        """Answer a flow that gives a call which this worker does not wait for."""
        if kept is not None:
            return kept[0]
        if is_finished:
            return self._from_here("died", message["call"]) | {"reason": f"{self.name} has lost the outcome."}
        # The call arrived too late, or was lost at first: another worker may have it.
        return self._from_here("declined", message["call"]) | {"given": message.get("given", 0)}

    def _send_heartbeats(self) -> None:
        while not self._stop.wait(ALIVE_SECONDS):
            for flow, calls in self._given().items():
                self._send(flow, {"kind": "alive", "calls": calls, "worker": self._mailbox.name})

    def _given(self) -> dict[str, list[str]]:
        """Return the calls that are executed or reported here, by flow."""
        by_flow: dict[str, list[str]] = {}
        with self._lock:
            for call_id, taken in self._taken.items():
                if taken.payload is not None:
                    by_flow.setdefault(taken.flow, []).append(call_id)
        return by_flow


class _Taken:
    """A call that one thread of this worker asks for, executes and reports."""

    def __init__(self, flow: str) -> None:
        self.flow = flow
        self.answered = threading.Event()
        self.payload: Sealed | None = None
        self.child: ChildProcess | None = None

    def receive(self, message: Message) -> None:
        """Receive a message of the call's flow; only the first one counts."""
        if not self.answered.is_set():
            self.payload = message.get("payload")
            self.answered.set()
