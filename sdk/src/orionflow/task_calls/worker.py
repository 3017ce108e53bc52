"""The worker's side: a Celery worker whose threads take offers, have them called in processes, and report."""

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
from orionflow.task_calls.mailbox import Mailbox, Message
from orionflow.task_calls.seal import BrokenSeal, seal, unseal

logger = logging.getLogger("orionflow.task_calls")

ALIVE_SECONDS = 2.0
# A flow that does not answer within this time is gone, most likely; its old offers shall not hold up the others.
ANSWER_SECONDS = 2.0


class TaskWorker:
    """Takes calls from the flows that offer them, as many at once as it has processes."""

    def __init__(self, app: Any, *, queues: Sequence[str], concurrency: int, name: str, key: bytes) -> None:
        self.app = app
        self.name = name
        self._key = key
        self._queues = [f"orion-tasks.{queue}" for queue in queues]
        self._concurrency = concurrency
        self._children: LifoQueue[ChildProcess] = LifoQueue()
        for _ in range(concurrency):
            self._children.put(ChildProcess())
        self._answers: dict[str, _Answer] = {}
        self._running: dict[str, tuple[str, ChildProcess]] = {}
        self._mailbox = Mailbox(app, self._receive)
        self._stop = threading.Event()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; what runs then is finished first."""
        self.app.task(name=OFFER)(self.take)
        self._mailbox.open()
        threading.Thread(target=self._say_alive, name="orion-task-heartbeat", daemon=True).start()
        try:
            self._celery_worker().start()
        finally:
            self._stop.set()
            self._mailbox.close()
            while not self._children.empty():
                self._children.get().close()

    def _celery_worker(self) -> Any:
        # That it runs as root is told by who started it; what the flows send is sealed.
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
        """Ask for an offered call and, if it is still to be had, execute it."""
        answer = self._answers[call_id] = _Answer()
        try:
            self._mailbox.send(flow, self._from_here("take", call_id) | {"name": self.name})
            if not answer.came.wait(ANSWER_SECONDS) or answer.payload is None:
                return
            payload = unseal(self._key, f"call {call_id}", answer.payload)
        except BrokenSeal as error:
            logger.error("%s", error)
            self._mailbox.send(flow, self._from_here("died", call_id) | {"reason": f"{self.name}: {error}"})
            return
        finally:
            del self._answers[call_id]
        self._execute(call_id, flow, payload)

    def _execute(self, call_id: str, flow: str, payload: bytes) -> None:
        child = self._children.get()
        self._running[call_id] = (flow, child)
        try:
            outcome = child.call(payload)
        except WorkerCrashed as error:
            report = self._from_here("died", call_id) | {"reason": f"On task worker {self.name}: {error}"}
        else:
            report = self._from_here("done", call_id)
            report["outcome"] = seal(self._key, f"outcome {call_id}", outcome)
        finally:
            del self._running[call_id]
            self._children.put(child)
        self._report(flow, report)

    def _report(self, flow: str, report: Message) -> None:
        """The outcome of work is not thrown away because the broker is away for a while."""
        for seconds in (0.5, 1, 2, 4, 8):
            if self._mailbox.send(flow, report):
                return
            self._stop.wait(seconds)
        logger.error("The outcome of a task could not be reported; its flow will take this worker for dead.")

    def _from_here(self, kind: str, call_id: str) -> Message:
        return {"kind": kind, "call": call_id, "worker": self._mailbox.name}

    def _receive(self, message: Message) -> None:
        if message["kind"] == "stop":
            if (running := self._running.get(message["call"])) is not None:
                running[1].kill()
        elif (answer := self._answers.get(message["call"])) is not None:
            answer.payload = message.get("payload")
            answer.came.set()
        elif message["kind"] == "given" and message["call"] not in self._running:
            # It came too late: this worker is no longer waiting for it, and another one may have it.
            self._mailbox.send(message["flow"], self._from_here("declined", message["call"]))

    def _say_alive(self) -> None:
        while not self._stop.wait(ALIVE_SECONDS):
            by_flow: dict[str, list[str]] = {}
            for call_id, (flow, _) in list(self._running.items()):
                by_flow.setdefault(flow, []).append(call_id)
            for flow, calls in by_flow.items():
                self._mailbox.send(flow, {"kind": "alive", "calls": calls, "worker": self._mailbox.name})


class _Answer:
    """What the flow says to a worker that asked."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.payload: dict[str, str] | None = None
