"""The flow's side: calls are offered, given to the first worker that asks, and waited for."""

from __future__ import annotations

import logging
import pickle
import threading
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from orionflow.errors import WorkerCrashed
from orionflow.task_calls.mailbox import Mailbox, Message, now
from orionflow.task_calls.seal import Sealed, seal, unseal

logger = logging.getLogger("orionflow.task_calls")

OFFER = "orion.task"
# Seconds after which an unanswered offer is repeated: the pause starts at the first number and doubles up to the
# second.
OFFER_AGAIN_SECONDS = (3.0, 30.0)
# Seconds of silence after which a worker is given up; it reports every 2 s that it is alive.
SILENCE_SECONDS = 20.0
# Seconds of silence after which it gets the call again, as the broker may have lost a message of either side.
REPEAT_SECONDS = 5.0
COMPLAINT_SECONDS = 30.0


@dataclass(slots=True)
class Call:
    """One call of a task function, in progress."""

    payload: bytes
    id: str = field(default_factory=lambda: uuid4().hex)
    worker: str | None = None
    worker_name: str = ""
    last_message_at: float = 0.0
    # How often the call was given to a worker, and the time of the last message about it.
    given: int = 0
    given_at: float = 0.0
    is_repeated: bool = False
    outcome: Sealed | None = None
    died: str | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Caller:
    """Offers calls on a queue of task workers. Threads may call at the same time."""

    def __init__(self, app: Any, queue: str, key: bytes) -> None:
        self._queue = f"orion-tasks.{queue}"
        self._chosen_queue = queue
        self._key = key
        self._calls: dict[str, Call] = {}
        self._mailbox = Mailbox(app, self._receive)

    def open(self) -> None:
        self._mailbox.open()

    def close(self) -> None:
        """Stop the remaining calls, as their outcomes are no longer needed."""
        for call in list(self._calls.values()):
            if call.worker is not None:
                self._mailbox.send(call.worker, {"kind": "stop", "call": call.id})
            call.died = "The flow run ended before the task did."
            call.done.set()
        self._mailbox.close()

    def call(self, payload: bytes) -> tuple[bytes, list[logging.LogRecord]]:
        """Return the outcome of a packed call, with its log lines. Raise WorkerCrashed if its worker died."""
        call = Call(payload)
        self._calls[call.id] = call
        try:
            self._wait(call)
        finally:
            del self._calls[call.id]
        if call.outcome is None:
            raise WorkerCrashed(f"{call.died} Set crash_retries to have the task tried again.")
        outcome: tuple[bytes, list[logging.LogRecord]] = pickle.loads(  # noqa: S301  # nosemgrep: objects-from-bytes (sealed with our key)
            unseal(self._key, f"outcome {call.id}", call.outcome)
        )
        return outcome

    def _wait(self, call: Call) -> None:
        patience, most = OFFER_AGAIN_SECONDS
        offered, began, complained = 0.0, now(), False
        while not call.done.is_set():
            if call.worker is None and now() - offered > patience:
                patience = min(patience * (2 if offered else 1), most)
                self._mailbox.send_task(OFFER, [call.id, self._mailbox.name], self._queue)
                offered = now()
            self._repeat(call)
            if call.worker is not None and now() - call.last_message_at > SILENCE_SECONDS:
                call.died = f"The task worker {call.worker_name} has not reported for {SILENCE_SECONDS:g} s."
                return
            if call.worker is None and not complained and now() - began > COMPLAINT_SECONDS:
                complained = True
                logger.warning(
                    "No task worker has taken a task for %g s; start one: orion task-worker start -q %s",
                    COMPLAINT_SECONDS,
                    self._chosen_queue,
                )
            call.done.wait(0.5)

    def _repeat(self, call: Call) -> None:
        """Give the call to its silent worker again, which continues, sends the outcome again, or declines."""
        worker, silent = call.worker, min(now() - call.last_message_at, now() - call.given_at)
        if worker is None or silent < REPEAT_SECONDS:
            return
        call.is_repeated = True
        if not self._send_call(call, worker):
            # Workers cannot be heard while the broker is away.
            call.last_message_at = now()

    def _receive(self, message: Message) -> None:
        if message["kind"] == "alive":
            for one in message["calls"]:
                if (call := self._calls.get(one)) is not None and call.worker == message["worker"]:
                    call.last_message_at = now()
            return
        call = self._calls.get(message["call"])
        if message["kind"] == "take":
            self._give(call, message)
            return
        if call is not None and call.worker == message["worker"]:
            self._settle(call, message)
        if message["kind"] == "done":
            # The worker keeps the outcome until it gets this message.
            self._mailbox.send(message["worker"], {"kind": "thanks", "call": message["call"]})

    def _settle(self, call: Call, message: Message) -> None:
        match message["kind"]:
            case "declined":
                # A worker of an earlier version does not say which offer it declines, and may have finished the call
                # meanwhile.
                if message.get("given", 0 if call.is_repeated else call.given) == call.given:
                    call.worker = None
                return
            case "done":
                call.outcome = message["outcome"]
            case _:
                call.died = message["reason"]
        call.done.set()

    def _give(self, call: Call | None, message: Message) -> None:
        worker = message["worker"]
        if call is None or call.done.is_set() or call.worker not in (None, worker):
            self._mailbox.send(worker, {"kind": "gone", "call": message["call"]})
            return
        call.worker, call.worker_name, call.last_message_at = worker, message["name"], now()
        call.given, call.is_repeated = call.given + 1, False
        self._send_call(call, worker)

    def _send_call(self, call: Call, worker: str) -> bool:
        call.given_at = now()
        payload = seal(self._key, f"call {call.id}", call.payload)
        given = {"kind": "given", "call": call.id, "payload": payload, "given": call.given}
        return self._mailbox.send(worker, given | {"flow": self._mailbox.name})
