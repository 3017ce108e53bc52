"""How the time of a run was spent, from its states: each moment between due and end counts once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from orionflow.contract.states import BETWEEN_ATTEMPTS, TERMINAL, StateType

SCHEDULE, QUEUE, LIMIT, STARTUP = "schedule", "queue", "limit", "startup"
WORK, IDLE, RETRY, PAUSE, STOPPING, OVER = "work", "idle", "retry", "pause", "stopping", "over"
# In the order of a run's life, with their labels.
WORDS: Mapping[str, str] = {
    SCHEDULE: "Waited for its time",
    QUEUE: "Waited to be taken",
    LIMIT: "Waited for a slot",
    STARTUP: "Started up",
    WORK: "Worked",
    IDLE: "Ran no task",
    RETRY: "Waited for a retry",
    PAUSE: "Was paused",
    STOPPING: "Was being cancelled",
    OVER: "Had ended before",
}
MEANING: Mapping[str, str] = {
    SCHEDULE: "scheduled again for a later time",
    QUEUE: "due, and no agent or process had taken it",
    LIMIT: "a limit was full, or another run had to end first",
    STARTUP: "from the claim until its code ran",
    WORK: "at least one task ran; of a flow without tasks, its own code",
    IDLE: "the flow ran, and none of its tasks did: its own code, or a wait",
    RETRY: "the pause between two attempts",
    PAUSE: "until somebody resumed it",
    STOPPING: "asked to stop, until it had stopped",
    OVER: "between its end and the moment when it was run again",
}
ZERO = timedelta()


@dataclass(frozen=True, slots=True)
class Passage:
    """A state that a run was in from `at` on. `scheduled` is the time that it waited for."""

    type: StateType
    name: str
    at: datetime
    scheduled: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A time in which a full limit or the retry of a task held the run up, with the holder of the slot."""

    kind: str
    begin: datetime
    end: datetime
    name: str = ""
    holder_id: UUID | None = None
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A period that a run spent in one way."""

    kind: str
    begin: datetime
    end: datetime
    name: str = ""
    holder_id: UUID | None = None
    holder: str = ""

    @property
    def lasted(self) -> timedelta:
        return self.end - self.begin


def stretches(
    *,
    due: datetime | None,
    passages: Sequence[Passage],
    until: datetime,
    working: Sequence[tuple[datetime, datetime]] | None = None,
    held: Sequence[Held] = (),
    held_starts: Sequence[Held] = (),
    held_tasks: Sequence[Held] = (),
) -> list[Stretch]:
    """Divide the time from `begin_of` to `until` into stretches without gaps and overlaps.

    `working` are the times in which tasks ran; None for a flow without tasks. `held` kept the run from being claimed,
    `held_starts` kept it from running after that, and `held_tasks` held up its tasks.
    """
    if not passages:
        return []
    begin = begin_of(due, passages)
    until = max(until, begin)
    found: list[Stretch] = []
    for passage, end in _lasting(passages, until):
        start = min(max(passage.at, begin), until)
        for one in _spent(passage, start, max(start, min(end, until)), working, held, held_starts, held_tasks):
            _append(found, one)
    return found


def begin_of(due: datetime | None, passages: Sequence[Passage]) -> datetime:
    """Return the moment when a run was due, or left its scheduled state if that was earlier."""
    alive = next((one.at for one in passages if one.type is not StateType.SCHEDULED), None)
    known = [at for at in (due, alive) if at is not None]
    # Runs of a backfill are due before they exist, but have not waited before their creation.
    return max(passages[0].at, min(known)) if known else passages[0].at


def _lasting(passages: Sequence[Passage], until: datetime) -> Iterator[tuple[Passage, datetime]]:
    """Yield each passage with its end. A clock that was set back does not lead to negative durations."""
    latest = passages[0].at
    for passage, following in pairwise(passages):
        latest = max(latest, following.at)
        yield passage, latest
    yield passages[-1], until


def _append(found: list[Stretch], one: Stretch) -> None:
    """Append a stretch where the last one ends; merge it if both are of the same kind."""
    last = found[-1] if found else None
    if last and one.begin < last.end:
        one = Stretch(one.kind, last.end, max(one.end, last.end), one.name, one.holder_id, one.holder)
    if one.end <= one.begin:
        return
    if last and (last.kind, last.name, last.holder_id) == (one.kind, one.name, one.holder_id):
        found[-1] = Stretch(last.kind, last.begin, one.end, last.name, last.holder_id, last.holder)
    else:
        found.append(one)


def _spent(
    passage: Passage,
    begin: datetime,
    end: datetime,
    working: Sequence[tuple[datetime, datetime]] | None,
    held: Sequence[Held],
    held_starts: Sequence[Held],
    held_tasks: Sequence[Held],
) -> Iterator[Stretch]:
    match passage.type:
        case StateType.SCHEDULED | StateType.PENDING:
            is_taken = passage.type is StateType.PENDING
            turn = min(max(passage.scheduled or begin, begin), end)
            yield Stretch(RETRY if passage.name in BETWEEN_ATTEMPTS and not is_taken else SCHEDULE, begin, turn)
            yield from laid_over(Stretch(STARTUP if is_taken else QUEUE, turn, end), held_starts if is_taken else held)
        case StateType.RUNNING if working is None:
            yield Stretch(WORK, begin, end)
        case StateType.RUNNING:
            busy = [Held(WORK, *one) for one in working or ()]
            for one in laid_over(Stretch(IDLE, begin, end), busy):
                yield from laid_over(one, held_tasks) if one.kind == IDLE else (one,)
        case StateType.PAUSED:
            yield Stretch(PAUSE, begin, end)
        case StateType.CANCELLING:
            yield Stretch(STOPPING, begin, end)
        case ended if ended in TERMINAL:
            yield Stretch(OVER, begin, end)


def laid_over(stretch: Stretch, held: Iterable[Held]) -> Iterator[Stretch]:
    """Cover parts of the stretch by what held the run up; where two overlap, the earlier one stays."""
    place = stretch.begin
    for one in sorted(held, key=lambda one: (one.begin, one.end)):
        begin, end = max(one.begin, place), min(one.end, stretch.end)
        if end <= begin:
            continue
        yield Stretch(stretch.kind, place, begin, stretch.name, stretch.holder_id, stretch.holder)
        yield Stretch(one.kind, begin, end, one.name, one.holder_id, one.holder)
        place = end
    yield Stretch(stretch.kind, place, stretch.end, stretch.name, stretch.holder_id, stretch.holder)


def merged(times: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Return the periods in order, with overlapping ones merged."""
    found: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(times):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif end > begin:
            found.append((begin, end))
    return found


@dataclass(frozen=True, slots=True)
class Share:
    """The total time that was spent in one way; for limits, by name."""

    kind: str
    lasted: timedelta
    name: str = ""
    holder_id: UUID | None = None
    holder: str = ""

    @property
    def words(self) -> str:
        return f"{WORDS[self.kind]} of {self.name}" if self.kind == LIMIT and self.name else WORDS[self.kind]

    @property
    def meaning(self) -> str:
        return MEANING[self.kind]


def shares(found: Sequence[Stretch]) -> list[Share]:
    """Sum up by kind and name, in the order of a run's life. The holder is the one that held it longest."""
    sums: dict[tuple[str, str], timedelta] = {}
    holders: dict[tuple[str, str], Stretch] = {}
    for one in found:
        key = (one.kind, one.name)
        sums[key] = sums.get(key, ZERO) + one.lasted
        if one.holder_id and (key not in holders or holders[key].lasted < one.lasted):
            holders[key] = one
    order = list(WORDS)
    return [
        Share(kind, lasted, name, *_holder(holders.get((kind, name))))
        for (kind, name), lasted in sorted(sums.items(), key=lambda pair: (order.index(pair[0][0]), pair[0][1]))
    ]


def _holder(one: Stretch | None) -> tuple[UUID | None, str]:
    return (one.holder_id, one.holder) if one else (None, "")
