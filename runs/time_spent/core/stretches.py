"""Where the time of a run went, from the states that it was in: each moment between due and end counts once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from orionflow.contract.states import TERMINAL, StateType

SCHEDULE, QUEUE, LIMIT, STARTUP = "schedule", "queue", "limit", "startup"
WORK, IDLE, RETRY, PAUSE, STOPPING, OVER = "work", "idle", "retry", "pause", "stopping", "over"
# In the order of a run's life, with the words of pages and answers.
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
    """A state that a run was in since then. `scheduled` is the time that it waited for."""

    type: StateType
    name: str
    at: datetime
    scheduled: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A time in which something held the run up: a full limit, or the retry of a task; with who held it."""

    kind: str
    begin: datetime
    end: datetime
    name: str = ""
    holder_id: UUID | None = None
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time that a run spent in one way."""

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
    """Divide the time from `begin_of` until then, without a gap and without overlap.

    `working` are the times in which tasks ran; None for a flow without tasks. `held` is what kept the run
    from being taken, `held_starts` what kept it from running when it was, and `held_tasks` what held up its tasks.
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
    """The moment when a run was due, or showed its first sign of life before that."""
    alive = next((one.at for one in passages if one.type is not StateType.SCHEDULED), None)
    known = [at for at in (due, alive) if at is not None]
    # What was due before it existed (the runs of a backfill) did not wait before that.
    return max(passages[0].at, min(known)) if known else passages[0].at


def _lasting(passages: Sequence[Passage], until: datetime) -> Iterator[tuple[Passage, datetime]]:
    """Each passage with the moment at which it was over. Clocks that went back make no negative times."""
    latest = passages[0].at
    for passage, following in pairwise(passages):
        latest = max(latest, following.at)
        yield passage, latest
    yield passages[-1], until


def _append(found: list[Stretch], one: Stretch) -> None:
    """Add a stretch behind the last one, whose end is where it begins; two of one kind become one."""
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
            yield Stretch(RETRY if passage.name == "AwaitingRetry" and not is_taken else SCHEDULE, begin, turn)
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
    """Put what held the run up over the stretch; where two overlap, the one that began first stays."""
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
    """Times without their overlaps, in order."""
    found: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(times):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif end > begin:
            found.append((begin, end))
    return found


@dataclass(frozen=True, slots=True)
class Share:
    """All the time that was spent in one way, and of limits, for one name."""

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
    """Sum up by kind and name, in the order of a run's life. The holder is the one who held it longest."""
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
