"""States that say nothing unusual, folded into one value of their run's row; the only place that folds and unfolds.

    version | count | state | state | …
    state   = type and flags, trail [, epoch] [, the client's time] [, author], then id, time

Id and time of the last state are left out while it is the run's current one: its row has them. So a state is added by
adding bytes, and nothing is stored twice. Times are told by their distance from the time in the id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from orchestration.core.packed_trails import MOST_LINES as MOST_LINES
from orchestration.core.packed_trails import Malformed as Malformed
from orchestration.core.packed_trails import Reader, Trail, packed_trail, signed, text, varint
from orchestration.core.states import StateType

VERSION = 1
MOST_STATES = 255
# So near to the moment of a state its id must have been made: by that, folded states are found by their ids.
NEAR = timedelta(seconds=60)

_TYPES = tuple(StateType)
_TYPE_NUMBERS = {one: number for number, one in enumerate(_TYPES)}
_HAS_EPOCH, _HAS_CLIENT_TIME, _HAS_AUTHOR = 0x10, 0x20, 0x40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedState:
    """A state with the usual name of its type, accepted as it was proposed, without message, data and details."""

    id: UUID
    type: StateType
    timestamp: datetime
    trail: Trail = ()
    epoch: int = 0
    client_timestamp: datetime | None = None
    author: str | None = None


def fold(states: Sequence[FoldedState], *, last_is_current: bool) -> bytes:
    """Fold the first states of a run; without id and time of the last one, where that is what its row shows."""
    folded = b""
    for place, state in enumerate(states):
        folded = opened(folded, state)
        if place < len(states) - 1 or not last_is_current:
            folded = closed(folded, state.id, state.timestamp)
    return folded


def opened(folded: bytes, state: FoldedState) -> bytes:
    """Add a state that becomes the current one; those before it are closed already."""
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
    return b"".join([bytes((VERSION, count)), folded[2:], bytes((head,)), *words])


def closed(folded: bytes, id: UUID, timestamp: datetime) -> bytes:
    """Add id and time of the last state, which is the current one no longer."""
    return b"".join([folded, id.bytes, signed((timestamp - _EPOCH) // _MICROSECOND - _time_in(id))])


def number_of(folded: bytes) -> int:
    """Return how many states are folded there: the run's first ones."""
    return folded[1] if folded else 0


def may_hold(folded: bytes, id: UUID) -> bool:
    """Whether one of the states, but for the current one, may have this id: cheap, and never wrongly no."""
    return id.bytes in folded


def unfold(folded: bytes, current_id: UUID | None = None, current: datetime | None = None) -> list[FoldedState]:
    """Return the folded states, the first one first, given what the run's row says of its current state.

    Raises Malformed.
    """
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
        if not reader.is_at_end:
            id = UUID(bytes=reader.taken(16))
            timestamp = _moment(_EPOCH, reader.signed() + _time_in(id))
        elif current_id is not None and current is not None:
            id, timestamp = current_id, current
        else:
            raise Malformed("the last state lacks its id")
        states.append(
            FoldedState(
                id=id,
                type=_type(head & 0x0F),
                timestamp=timestamp,
                trail=trail,
                epoch=epoch,
                client_timestamp=None if offset is None else _moment(timestamp, offset),
                author=author,
            )
        )
    if not reader.is_at_end:
        raise Malformed("more follows than its states")
    return states


def _type(number: int) -> StateType:
    if number >= len(_TYPES):
        raise Malformed("it names a type of states that there is not")
    return _TYPES[number]


def _moment(since: datetime, microseconds: int) -> datetime:
    try:
        return since + microseconds * _MICROSECOND
    except OverflowError as error:
        raise Malformed("it holds a moment that is none") from error


def _time_in(id: UUID) -> int:
    """Return the microseconds since 1970 in an id of our making; of another id, a number as good as any."""
    moment = id.int >> 64
    return (moment >> 16) * 1000 + ((moment & 0xFFF) * 1000 >> 12)
