"""The items of reports and their answers: transitions of task runs, log lines, and verdicts of the rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from pydantic_core import PydanticSerializationError, to_json

from orionflow.contract.ids import uuid7
from orionflow.recordable import LONGEST_NAME, short_text
from orionflow.states import State
from orionflow.wire import clean_text, state_from_wire, state_to_wire

if TYPE_CHECKING:
    from orionflow.contract.kinds import TransitionStatus

ACCEPT: Final = "ACCEPT"
REJECT: Final = "REJECT"
WAIT: Final = "WAIT"
ABORT: Final = "ABORT"
ERROR: Final = "ERROR"
UNSENDABLE = "unsendable"


class Transition:
    """One step of a task run: its creation, a new state, or both. Plain slots, as each task creates three of them."""

    __slots__ = ("create", "flow_run_id", "force", "gathers", "state", "task_run_id")

    def __init__(
        self,
        task_run_id: UUID,
        create: dict[str, Any] | None = None,
        state: State[Any] | None = None,
        force: bool = False,
        flow_run_id: UUID | None = None,
        gathers: bool = False,
    ) -> None:
        self.task_run_id = task_run_id
        self.create = create
        self.state = state
        self.force = force
        # The flow run whose drain waits for this step; without it, every drain does.
        self.flow_run_id = create.get("flow_run_id") if flow_run_id is None and create is not None else flow_run_id
        # Whether later steps of the run may be delivered with this one, before reports of other runs in between.
        self.gathers = gathers


class WaitingSteps:
    """Steps of one task run as the JSON that will be sent: one, and those that it gathered while it waits.

    The garbage collector visits each object that may refer to others again and again. Tens of thousands of steps wait,
    so all steps of a run are one such object; bytes, numbers and tuples of them are none.
    """

    __slots__ = ("flow_run_id", "gathers", "items", "number", "task_run_id")

    def __init__(self, task_run_id: int, flow_run_id: UUID | None, item: bytes, gathers: bool = False) -> None:
        self.task_run_id = task_run_id
        self.flow_run_id = flow_run_id
        self.items: tuple[bytes, ...] = (item,)
        self.gathers = gathers
        # That of the item in the backlog, for steps that are gathered later.
        self.number = 0


class LogLine:
    """One log line of a run."""

    __slots__ = ("flow_run_id", "id", "level", "message", "name", "task_run_id", "timestamp")

    def __init__(
        self,
        name: str,
        level: int,
        message: str,
        timestamp: datetime,
        flow_run_id: UUID | None = None,
        task_run_id: UUID | None = None,
    ) -> None:
        self.id = uuid7()
        self.name = name
        self.level = level
        self.message = message
        self.timestamp = timestamp
        self.flow_run_id = flow_run_id
        self.task_run_id = task_run_id


class Answer:
    """The verdict of the rules on one transition.

    `state` is the run's state afterwards, if it differs from the proposed one. `task_run_id` is the id of the stored
    run, if the transition would have created a run that exists.
    """

    __slots__ = ("code", "delay_seconds", "reason", "state", "status", "task_run_id")

    def __init__(
        self,
        status: TransitionStatus,
        reason: str | None = None,
        delay_seconds: float | None = None,
        state: State[Any] | None = None,
        task_run_id: UUID | None = None,
        code: str | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.delay_seconds = delay_seconds
        self.state = state
        self.task_run_id = task_run_id
        self.code = code

    @property
    def is_accepted(self) -> bool:
        return self.status == ACCEPT

    def __repr__(self) -> str:
        return f"Answer({self.status}, reason={self.reason!r}, state={self.state!r})"


ACCEPTED = Answer(ACCEPT)


def answer_from_wire(result: Mapping[str, Any]) -> Answer:
    """Return the answer from one result of a batch; the usual answer is a shared object."""
    if len(result) == 1 and result["status"] == ACCEPT:
        return ACCEPTED
    state, task_run_id = result.get("state"), result.get("task_run_id")
    return Answer(
        result["status"],
        result.get("reason"),
        result.get("delay_seconds"),
        None if state is None else state_from_wire(state),
        None if task_run_id is None else UUID(task_run_id),
        result.get("code"),
    )


# In place of a step that contains a value that is not JSON; the rest of its batch is sent nevertheless.
NOTHING = b"null"
_BEFORE_ID, _AFTER_ID = len(b'{"task_run_id":"'), len(b'{"task_run_id":"') + 36


def encode_transition(item: Transition) -> WaitingSteps:
    """Return a transition as JSON, or `NOTHING` if it cannot be encoded."""
    # The id comes first, see `renamed`.
    wire: dict[str, Any] = {"task_run_id": item.task_run_id}
    if item.create is not None:
        wire["task_run"] = item.create
    if item.state is not None:
        wire["state"] = state_to_wire(item.state)
    if item.force:
        wire["force"] = True
    try:
        encoded = to_json(wire)
    except (PydanticSerializationError, ValueError):
        encoded = NOTHING
    return WaitingSteps(item.task_run_id.int, item.flow_run_id, encoded, item.gathers)


def renamed(item: bytes, task_run_id: UUID) -> bytes:
    """Return the JSON of a transition under another id of its run."""
    return b"".join((item[:_BEFORE_ID], str(task_run_id).encode(), item[_AFTER_ID:])) if item != NOTHING else item


def encode_log_lines(lines: Iterable[LogLine], longest: int) -> list[bytes]:
    """Return the JSON of each line. Lines that cannot be encoded, for reasons other than their text, are left out."""
    encoded = []
    for line in lines:
        with suppress(PydanticSerializationError, ValueError):
            encoded.append(_encode_log_line(line, longest))
    return encoded


def _encode_log_line(line: LogLine, longest: int) -> bytes:
    wire: dict[str, Any] = {
        "id": line.id,
        "name": short_text(line.name, LONGEST_NAME),
        "level": line.level,
        "message": clean_text(line.message, longest),
        "timestamp": line.timestamp,
    }
    if line.flow_run_id is not None:
        wire["flow_run_id"] = line.flow_run_id
    if line.task_run_id is not None:
        wire["task_run_id"] = line.task_run_id
    return to_json(wire)
