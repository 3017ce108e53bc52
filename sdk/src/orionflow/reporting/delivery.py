"""Delivery of one batch to the API: its encoding, its answers in order, and the search for an item that spoils it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic_core import from_json, to_json

from orionflow.calls import Call
from orionflow.client.responses import Reply
from orionflow.client.transport import PASSING, Patience
from orionflow.errors import ApiError, Conflict, DatabaseNotReady, InvalidRequest, NotFound, ServerFailed
from orionflow.reporting.backlog import Item, KeptCall, SpooledLine, encode_all
from orionflow.reporting.items import ACCEPT, ERROR, NOTHING, UNSENDABLE, Answer, answer_from_wire
from orionflow.wire import state_from_wire

if TYPE_CHECKING:
    from orionflow.client import OrionClient
    from orionflow.contract.kinds import RunCommand

logger = logging.getLogger("orionflow.reporting")

TRANSITIONS: Call[Any] = Call("POST", "/task_runs/transitions")
LOGS: Call[None] = Call("POST", "/logs/")
# In bytes. The API accepts requests of up to 10 MB.
LARGEST_BODY = 4 * 1024 * 1024
# Fields that a run can do without if the API refuses them.
_SHOWN_OF_RUNS = ("name", "tags", "task_inputs", "task_version")
SHORT_MESSAGE = 1000
# The caller repeats requests itself: in between it may have to stop, or to write to the spool.
ONCE = Patience(budget_seconds=0.0)


class Delivery:
    """Posts batches; remembers what the answers said about flow runs."""

    def __init__(self, client: OrionClient) -> None:
        self._client = client
        self.epochs: dict[UUID, int] = {}
        self.commands: dict[UUID, RunCommand] = {}

    def forget(self, flow_run_id: UUID) -> None:
        self.epochs.pop(flow_run_id, None)
        self.commands.pop(flow_run_id, None)

    def post(self, items: Sequence[bytes], *, suspicious: bool = False) -> list[Answer]:
        """Return the answer to each item; raise an ApiError if the API is away.

        A batch that the API refuses as invalid is halved until the invalid item is alone. `suspicious` says that the
        server failed on this batch before: then it is halved for server errors as well.
        """
        answers = self._post_or_halve(items, suspicious)
        if suspicious:
            self._confirm(items, answers)
        return answers

    def _post_or_halve(self, items: Sequence[bytes], suspicious: bool) -> list[Answer]:
        if is_too_large(items):
            return self._post_halves(items, suspicious)
        try:
            return self._post(items)
        except InvalidRequest as error:
            if len(items) == 1:
                return [self._post_bare(items[0], error)]
            return self._post_halves(items, suspicious)
        except ServerFailed as error:
            if not suspicious or len(items) == 1 or error.status in PASSING:
                raise
            return self._post_halves(items, suspicious)

    def _confirm(self, items: Sequence[bytes], answers: list[Answer]) -> None:
        """Post each item on which the server failed once more, between two successes.

        A server that restarts fails on whatever is sent meanwhile; such an item must not be refused for that. Raise
        the error if the server still fails on other items, so that the batch is sent again later.
        """
        failed = [number for number, answer in enumerate(answers) if _is_refusal(answer, "5")]
        if not failed:
            return
        working = next(item for item, answer in zip(items, answers, strict=True) if not _is_refusal(answer))
        self._post([working])
        for number in failed:
            try:
                (answers[number],) = self._post_or_halve([items[number]], True)
            except ServerFailed as error:
                if error.status in PASSING:
                    raise
        self._post([working])

    def _post(self, items: Sequence[bytes]) -> list[Answer]:
        body = b"".join((self._head(), b",".join(items), b"]}"))
        reply = self._client.exchange(TRANSITIONS, body, patience=ONCE)
        return self._read(reply, len(items))

    def _post_bare(self, item: bytes, error: InvalidRequest) -> Answer:
        """Send a step again without fields that are only shown: objections of the API to them must not stop the run."""
        bare = without_shown(item)
        if bare == item:
            return _refused(error)
        try:
            answers = self._post([bare])
        except InvalidRequest:
            return _refused(error)
        logger.warning("A step of a task run was recorded without what is only shown of it: %s", error)
        return answers[0]

    def _head(self) -> bytes:
        head: dict[str, Any] = {"sent_at": datetime.now(UTC)}
        if self.epochs:
            # A copy, because other threads begin and forget runs in the meantime.
            head["epochs"] = {str(run): epoch for run, epoch in self.epochs.copy().items()}
        # Without the closing brace: the items are JSON already.
        return to_json(head)[:-1] + b',"items":['

    def _read(self, reply: Reply, expected: int) -> list[Answer]:
        wire = from_json(reply.content)
        for run, command in (wire.get("orders") or {}).items():
            self.commands[UUID(run)] = command
        answers = [answer_from_wire(result) for result in wire["results"]]
        if len(answers) != expected:
            raise ServerFailed(f"The API answered {len(answers)} of {expected} transitions; are its versions mixed?")
        return answers

    def _post_halves(self, items: Sequence[bytes], suspicious: bool) -> list[Answer]:
        """Post both halves. If suspicious, refuse items on which the server fails, unless all valid ones fail."""
        answers: list[Answer] = []
        failure: ServerFailed | None = None
        for half in _halves(items):
            try:
                answers += self._post_or_halve(half, suspicious)
            except ServerFailed as error:
                if not suspicious or error.status in PASSING:
                    raise
                failure = error
                answers += [_refused(error)] * len(half)
        # An invalid item is refused before the server needs what may be broken, so that does not show that it works.
        if failure is not None and all(map(_is_refusal, answers)):
            raise failure
        return answers

    def send(self, call: Call[Any], body: bytes) -> Answer:
        """Return the answer to one kept call; a call that the API refuses counts as refused, like a transition.

        The request contains its sending time, so that the API can convert times in it to its own clock.
        """
        try:
            reply = self._client.exchange(_sent_now(call), body, patience=ONCE)
        except (InvalidRequest, NotFound, Conflict) as error:
            return _refused(error)
        verdict = from_json(reply.content) if reply.content else {}
        details = verdict.get("details") or {}
        state = verdict.get("state") if "status" in verdict else None
        return Answer(
            verdict.get("status", ACCEPT),
            details.get("reason"),
            details.get("delay_seconds"),
            None if state is None else state_from_wire(state),
        )

    def post_logs(self, lines: Sequence[bytes]) -> int:
        """Store lines; return the number of those that the API refused."""
        if is_too_large(lines):
            return sum(self.post_logs(half) for half in _halves(lines))
        try:
            self._client.exchange(_sent_now(LOGS), b"[" + b",".join(lines) + b"]", patience=ONCE)
        except InvalidRequest as error:
            if len(lines) == 1:
                logger.warning("A log line was refused. %s", error)
                return 1
            return sum(self.post_logs(half) for half in _halves(lines))
        return 0


def _sent_now(call: Call[Any]) -> Call[Any]:
    return replace(call, headers={**call.headers, "Orion-Sent-At": datetime.now(UTC).isoformat()})


def deliver(
    delivery: Delivery, items: Sequence[Item], aliases: Mapping[int, UUID], *, suspicious: bool
) -> list[Answer]:
    """Return the answers to a batch; items that are not JSON are refused here, and the others are sent."""
    encoded = encode_all(items, aliases)
    if isinstance(items[0], KeptCall):
        return [_unsendable() if encoded[0] == NOTHING else delivery.send(items[0].call, encoded[0])]
    if isinstance(items[0], SpooledLine):
        # Each line that is refused is logged.
        delivery.post_logs(encoded)
        return [Answer(ACCEPT)] * len(encoded)
    sendable = [item for item in encoded if item != NOTHING]
    answers = iter(delivery.post(sendable, suspicious=suspicious) if sendable else ())
    return [_unsendable() if item == NOTHING else next(answers) for item in encoded]


def without_shown(item: bytes) -> bytes:
    """Return a transition without texts and values that are only shown."""
    wire = from_json(item)
    for field in _SHOWN_OF_RUNS:
        (wire.get("task_run") or {}).pop(field, None)
    state = wire.get("state") or {}
    if state.get("message"):
        state["message"] = state["message"][:SHORT_MESSAGE]
    state.pop("name", None)
    return to_json(wire)


def _unsendable() -> Answer:
    return Answer(ERROR, reason="the report holds a value that is not JSON", code=UNSENDABLE)


def is_too_large(items: Sequence[bytes]) -> bool:
    return len(items) > 1 and sum(map(len, items)) > LARGEST_BODY


def _halves(items: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes]]:
    middle = len(items) // 2
    return items[:middle], items[middle:]


def _refused(error: ApiError) -> Answer:
    return Answer(ERROR, reason=str(error), code=f"http_{error.status}")


def _is_refusal(answer: Answer, status: str = "") -> bool:
    """Whether the API refused the item, with a status that begins so."""
    return answer.code is not None and answer.code.startswith(f"http_{status}")


def is_hopeless(error: ApiError) -> bool:
    """Whether a repetition cannot help: the address, the key or the versions are wrong, or the database is gone."""
    if isinstance(error, DatabaseNotReady):
        return True
    return error.status is not None and error.status < 500 and error.status not in {408, 423, 425, 429}
