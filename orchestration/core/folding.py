"""States that say nothing unusual, folded into one value of their run's row. Only this module folds and unfolds.

    version | count | state | state | …
    state   = type and flags, trail [, epoch] [, the client's time] [, author], id, time

A state is added by appending bytes. The last state is complete, although the row contains its id and time, too: a
server of an earlier version that runs at the same time updates the row without knowing this value. Times are stored as
their distance from the time in the id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orchestration.core.packed_trails import MOST_LINES as MOST_LINES
from orchestration.core.packed_trails import Malformed as Malformed
from orchestration.core.packed_trails import Reader, Trail, packed_trail, signed, text, varint
from orchestration.core.runs import Run
from orchestration.core.states import State, StateDetails, StateType, is_unpersisted
from orionflow.contract.states import USUAL_NAMES

VERSION = 1
# Their number is one byte.
MOST_STATES = 255
# The id of a state must be made within this time of the state's own time: folded states are found by their ids' times.
NEAR = timedelta(seconds=60)

# Stored as the position here, in four bits: new types go to the end, and there is room for 16.
_TYPES = tuple(StateType)
_TYPE_NUMBERS = {one: number for number, one in enumerate(_TYPES)}
_HAS_EPOCH, _HAS_CLIENT_TIME, _HAS_AUTHOR, _IS_UNTRACKABLE = 0x10, 0x20, 0x40, 0x80
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_VERSION_OF_IDS = 7
# The states of a task run that simply succeeds.
_FOLDED = frozenset({StateType.PENDING, StateType.RUNNING, StateType.COMPLETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedState:
    """A state with the usual name of its type, accepted as it was proposed, without message and data.

    The only detail that it can have is `untrackable_result`: the result is a value, such as None, that occurs too often
    to show which task returned it.
    """

    id: UUID
    type: StateType
    timestamp: datetime
    trail: Trail = ()
    epoch: int = 0
    client_timestamp: datetime | None = None
    author: str | None = None
    is_untrackable: bool = False

    @property
    def details(self) -> dict[str, Any]:
        """Return its details as rows store them."""
        return {"untrackable_result": True} if self.is_untrackable else {}

    def details_of(self, own_details: StateDetails) -> StateDetails:
        return own_details.revised(untrackable_result=True) if self.is_untrackable else own_details


def fold(states: Iterable[FoldedState]) -> bytes:
    """Fold the first states of a run."""
    folded = b""
    for state in states:
        folded = added(folded, state)
    return folded


def added(folded: bytes, state: FoldedState) -> bytes:
    """Return the folded states with one more state at the end."""
    count = number_of(folded) + 1
    if count > MOST_STATES:
        raise ValueError(f"no more than {MOST_STATES} states can be folded")
    head, words = _TYPE_NUMBERS[state.type], [packed_trail(state.trail)]
    if state.epoch:
        head |= _HAS_EPOCH
        words.append(varint(state.epoch))
    if state.client_timestamp is not None:
        head |= _HAS_CLIENT_TIME
        words.append(signed((state.client_timestamp - state.timestamp) // _MICROSECOND))
    if state.author is not None:
        head |= _HAS_AUTHOR
        words.append(text(state.author))
    if state.is_untrackable:
        head |= _IS_UNTRACKABLE
    moment = signed((state.timestamp - _EPOCH) // _MICROSECOND - _time_in(state.id))
    return b"".join([bytes((VERSION, count)), folded[2:], bytes((head,)), *words, state.id.bytes, moment])


def is_usual(run: Run, state: State, trail: Trail, own_details: StateDetails) -> bool:
    """Whether a state that was proposed for a run, and that the run entered, says nothing beyond what can be folded.

    `run` is the run after the state; `own_details` are details that contain only the ids of the run. A state whose time
    is not among those of the run, or whose id was made at another time, could not be found by its id.
    """
    return (
        state.type in _FOLDED
        and state.message is None
        and (state.data is None or is_unpersisted(state.data))
        and state.name == USUAL_NAMES[state.type]
        and (state.details is own_details or adds_nothing(state, own_details))
        and state.timestamp in (run.start_time, run.end_time, run.expected_start_time)
        and is_found_by_its_id(state.id, state.timestamp)
        and len(trail) <= MOST_LINES
    )


def adds_nothing(state: State, own_details: StateDetails) -> bool:
    """Whether details say no more than the ids of the run and, for a final state, that the result is untrackable."""
    if state.is_terminal and state.details.untrackable_result:
        return state.details == own_details.revised(untrackable_result=True)
    return state.details == own_details


def is_found_by_its_id(id: UUID | None, timestamp: datetime | None) -> bool:
    if id is None or timestamp is None or (id.int >> 76) & 0xF != _VERSION_OF_IDS:
        return False
    return abs((id.int >> 80) / 1000 - timestamp.timestamp()) <= NEAR.total_seconds()


def number_of(folded: bytes) -> int:
    """Return the number of folded states; they are the first states of the run."""
    return folded[1] if folded else 0


def may_hold(folded: bytes, id: UUID) -> bool:
    """Whether one of the states may have this id. Cheap; it may be wrong only if it says yes."""
    return id.bytes in folded


def unfold(folded: bytes) -> list[FoldedState]:
    """Return the folded states in their order. Raises Malformed."""
    if not folded:
        return []
    if folded[0] != VERSION:
        raise Malformed(f"states are folded in version {folded[0]}, which this version of Orion cannot read")
    reader, states = Reader(folded, 2), []
    for _ in range(number_of(folded)):
        head, trail = reader.taken(1)[0], reader.trail()
        epoch = reader.varint() if head & _HAS_EPOCH else 0
        offset = reader.signed() if head & _HAS_CLIENT_TIME else None
        author = reader.text() if head & _HAS_AUTHOR else None
        id = UUID(bytes=reader.taken(16))
        timestamp = _moment(_EPOCH, reader.signed() + _time_in(id))
        states.append(
            FoldedState(
                id=id,
                type=_type(head & 0x0F),
                timestamp=timestamp,
                trail=trail,
                epoch=epoch,
                client_timestamp=None if offset is None else _moment(timestamp, offset),
                author=author,
                is_untrackable=bool(head & _IS_UNTRACKABLE),
            )
        )
    if not reader.is_at_end:
        raise Malformed("bytes follow its last state")
    return states


def _type(number: int) -> StateType:
    if number >= len(_TYPES):
        raise Malformed("it contains an unknown type of states")
    return _TYPES[number]


def _moment(since: datetime, microseconds: int) -> datetime:
    try:
        return since + microseconds * _MICROSECOND
    except OverflowError as error:
        raise Malformed("it contains an impossible time") from error


def _time_in(id: UUID) -> int:
    """Return the time in an id that Orion made, in microseconds since 1970. For other ids the number means nothing."""
    moment = id.int >> 64
    return (moment >> 16) * 1000 + ((moment & 0xFFF) * 1000 >> 12)
