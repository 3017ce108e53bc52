"""The reports that wait for delivery, in order: in memory first, and beyond its limit in a spool file.

If the disk is full, memory takes more than its limit, and items that follow a file that cannot grow wait in memory.

While the creation of a run waits, it gathers the later steps of the run, so that the API writes the run once. They
share its number. Numbers count from the start: `added` is the number of the last item, `settled` that of the last
acknowledged one. The caller holds the reporter's lock.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice, repeat
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic_core import from_json, to_json

from orionflow.calls import Call
from orionflow.errors import UnserializableError
from orionflow.reporting.items import NOTHING, WaitingSteps, renamed
from orionflow.reporting.spool import SpoolError, SpoolFile
from orionflow.wire import encode

logger = logging.getLogger("orionflow.reporting")

# Memory takes at most this many times its limit if no file can grow. After that, callers that report get an error.
BEYOND = 10


@dataclass(slots=True)
class Step:
    """One transition as JSON, and the flow run that it belongs to."""

    flow_run_id: UUID | None
    item: bytes
    # The attempt that reported it, in a spool file.
    epoch: int | None = None
    # The id of its task run as a number, if this process reported it and kept it in memory.
    task_run_id: int | None = None


@dataclass(frozen=True, slots=True)
class KeptCall:
    """A call to send after everything reported before it, such as the proposal of a flow run's final state."""

    flow_run_id: UUID | None
    call: Call[Any]


@dataclass(frozen=True, slots=True)
class SpooledLine:
    """One log line in a spool file: its bytes, and the flow run that it belongs to."""

    flow_run_id: UUID | None
    item: bytes


Item = Step | KeptCall | SpooledLine
T = TypeVar("T", bound=Item | WaitingSteps)


@dataclass(frozen=True, slots=True)
class Head:
    """The oldest items of the backlog; they stay there until they are settled."""

    items: Sequence[Item]
    numbers: Sequence[int]
    lines: list[bytes] | None = None
    # How often the backlog had been abandoned when this head was taken.
    abandoned: int = 0


class Backlog:
    """An ordered queue with a limit on memory and none on waiting time."""

    def __init__(self, limit: int, open_spool: Callable[[], SpoolFile], epochs: Mapping[UUID, int]) -> None:
        self._limit = limit
        self._open_spool = open_spool
        self._epochs = epochs
        self._memory: deque[WaitingSteps | KeptCall] = deque()
        self._spool: SpoolFile | None = None
        self._behind: deque[WaitingSteps | KeptCall] = deque()
        # Creations of runs that are not being sent yet and gather later steps, by the id of the run.
        self._gathering: dict[int, WaitingSteps] = {}
        # The number of item numbers that each of the first lines in the file stands for: 1 for the last of gathered
        # steps, otherwise 0.
        self._numbers_in_file: deque[int] = deque()
        self.added = 0
        self.settled = 0
        # The number of waiting items.
        self.waiting = 0
        self._abandoned = 0

    @property
    def is_full(self) -> bool:
        """Whether the next item would exceed the limit; a spool file takes any number of items if there is room."""
        return (self.waiting if self._spool is None else len(self._behind)) >= self._limit

    @property
    def spool_path(self) -> Path | None:
        return None if self._spool is None else self._spool.path

    @property
    def is_beyond(self) -> bool:
        """Whether memory has taken as much as it may at most."""
        return self.waiting - (self._spool.waiting if self._spool else 0) >= self._limit * BEYOND

    def append(self, item: WaitingSteps | KeptCall, *, alone: bool = False) -> int:
        """Append an item, and return its number. One that is `alone` gets a number of its own, as do all after it."""
        self.waiting += 1
        if isinstance(item, KeptCall):
            self._gathering.clear()
        elif alone:
            self._gathering.pop(item.task_run_id, None)
        elif (creation := self._gathering.get(item.task_run_id)) is not None:
            creation.items += item.items
            return creation.number
        # Once an item is in the file, later items must follow it.
        if self._spool is None:
            self._memory.append(item)
            if isinstance(item, WaitingSteps) and item.gathers and not alone:
                item.number = self.added + 1
                self._gathering[item.task_run_id] = item
        elif self._behind or not self._fits(self._spool, item):
            self._behind.append(item)
        self.added += 1
        return self.added

    def _fits(self, spool: SpoolFile, item: WaitingSteps | KeptCall) -> bool:
        try:
            spool.append(self._lines([item]))
        except SpoolError as error:
            logger.warning("%s Until then they are kept in memory.", error)
            return False
        return True

    def _lines(self, items: Iterable[WaitingSteps | KeptCall]) -> Iterator[bytes]:
        for item in chain.from_iterable(map(one_by_one, items)):
            if isinstance(item, KeptCall):
                yield spooled_call(item)
            else:
                epoch = None if item.flow_run_id is None else self._epochs.get(item.flow_run_id)
                yield spool_line(item, epoch)

    def start_spooling(self) -> None:
        """Write later items to a file, as well as those that wait behind a file that could not grow."""
        self._gathering.clear()
        if self._spool is None:
            self._spool = self._open_spool()
        self._spool.append(self._lines(self._behind))
        self._behind.clear()

    def spool_everything(self) -> Path | None:
        """Move the items in memory to a file, in order with those in an existing one, to outlive this process."""
        if not self._memory and not self._behind:
            return self.spool_path
        before, self._spool = self._spool, self._all_in_one_file()
        counts = [count for one in self._memory for count in (*repeat(0, len(one_by_one(one)) - 1), 1)]
        self._numbers_in_file.extendleft(reversed(counts))
        self._gathering.clear()
        self._memory.clear()
        self._behind.clear()
        if before is not None:
            before.remove()
        return self._spool.path

    def _all_in_one_file(self) -> SpoolFile:
        file = self._open_spool()
        try:
            file.append(self._lines(self._memory))
            if self._spool is not None:
                file.append(self._spool.rest().splitlines(keepends=True))
            file.append(self._lines(self._behind))
        except SpoolError:
            file.remove()
            raise
        return file

    def keep_lines(self, lines: Sequence[tuple[UUID | None, bytes]]) -> None:
        """Append log lines, as JSON, to the end of the file; raise SpoolError if there is no room."""
        if self._spool is None:
            self._spool = self._open_spool()
        elif self._behind:
            raise SpoolError(f"Log lines cannot be kept in {self._spool.path}: steps wait for room there.")
        self._spool.append(spooled_line(flow_run_id, item) for flow_run_id, item in lines)
        # This process may go on, and send them itself.
        self.added += len(lines)
        self.waiting += len(lines)

    def head(self, count: int) -> Head:
        """Return the `count` oldest items; a creation among them gathers no more steps."""
        if self._memory:
            return self._head_of_memory(count)
        if self._spool is None:
            return Head((), ())
        lines = self._spool.head(count)
        items = batch_of([read_spool_line(line) for line in lines])
        counts = islice(chain(self._numbers_in_file, repeat(1)), len(items))
        numbers = [self.settled + count for count in accumulate(counts)]
        return Head(items, numbers, lines[: len(items)], self._abandoned)

    def _head_of_memory(self, count: int) -> Head:
        items: list[Item] = []
        numbers: list[int] = []
        for number, one in enumerate(batch_of(list(islice(self._memory, count))), self.settled + 1):
            together = one_by_one(one)
            if items and len(items) + len(together) > count:
                break
            items += together
            numbers += repeat(number, len(together))
            if isinstance(one, WaitingSteps):
                self._gathering.pop(one.task_run_id, None)
        return Head(items, numbers, abandoned=self._abandoned)

    def settle(self, head: Head) -> None:
        """Remove the items of this head, which were acknowledged. Since then they may have been moved to a file.

        Do nothing if they were abandoned to another process in the meantime.
        """
        if head.abandoned != self._abandoned:
            return
        if self._memory:
            for _ in range(head.numbers[-1] - self.settled):
                self._memory.popleft()
        elif self._spool is not None:
            self._settle_in_file(self._spool, head)
        self.settled = max(self.settled, head.numbers[-1])
        self.waiting = max(self.waiting - len(head.items), 0)

    def _settle_in_file(self, spool: SpoolFile, head: Head) -> None:
        spool.settle(head.lines or spool.head(len(head.items)))
        for _ in range(min(len(head.items), len(self._numbers_in_file))):
            self._numbers_in_file.popleft()
        if spool.waiting == 0:
            spool.remove()
            self._spool, self._memory, self._behind = None, self._behind, deque()

    def abandon(self) -> None:
        """Leave everything to another process."""
        self._memory.clear()
        self._behind.clear()
        self._gathering.clear()
        self._numbers_in_file.clear()
        self.settled, self.waiting = max(self.settled, self.added), 0
        self._abandoned += 1
        if self._spool is not None:
            self._spool.close()
            self._spool = None


def one_by_one(item: WaitingSteps | KeptCall) -> Sequence[Step | KeptCall]:
    """Return an item in memory as the steps that are sent."""
    if isinstance(item, KeptCall):
        return (item,)
    return [Step(item.flow_run_id, encoded, None, item.task_run_id) for encoded in item.items]


def batch_of(items: Sequence[T]) -> Sequence[T]:
    """Return the first items that can be sent together: transitions up to a call, a single call, or log lines."""
    for index, item in enumerate(items):
        if isinstance(item, KeptCall):
            return items[: max(index, 1)]
        if isinstance(item, SpooledLine) is not isinstance(items[0], SpooledLine):
            return items[:index]
    return items


def spooled_call(kept: KeptCall) -> bytes:
    call = kept.call
    wire = {"method": call.method, "path": call.path, "body": call.body, "headers": call.headers}
    return to_json({"flow_run_id": kept.flow_run_id, "call": wire}) + b"\n"


def spool_line(item: Step, epoch: int | None) -> bytes:
    # The item's JSON is inserted as it is; encoding it twice would double the cost.
    return b'{"flow_run_id":%b,"epoch":%b,"item":%b}\n' % (to_json(item.flow_run_id), to_json(epoch), item.item)


def spooled_line(flow_run_id: UUID | None, item: bytes) -> bytes:
    return b'{"flow_run_id":%b,"log":%b}\n' % (to_json(flow_run_id), item)


def read_spool_line(line: bytes) -> Step | KeptCall | SpooledLine:
    """Return the item of a line in a spool file. Raise ValueError or KeyError if the line is damaged."""
    entry: Mapping[str, Any] = from_json(line)
    run = None if entry["flow_run_id"] is None else UUID(entry["flow_run_id"])
    if "call" in entry:
        return KeptCall(run, Call(**entry["call"]))
    if "log" in entry:
        return SpooledLine(run, to_json(entry["log"]))
    return Step(run, to_json(entry["item"]), entry.get("epoch"))


def encode_all(items: Iterable[Item], aliases: Mapping[int, UUID]) -> list[bytes]:
    """Return the JSON of each item, and `null` for items that cannot be encoded.

    `aliases` maps the ids of runs, as numbers, to those under which the API stored them.
    """
    return [_encode(item, aliases) for item in items]


def _encode(item: Item, aliases: Mapping[int, UUID]) -> bytes:
    if isinstance(item, KeptCall):
        try:
            return encode(item.call.body)
        except UnserializableError:
            return NOTHING
    if aliases and isinstance(item, Step) and item.task_run_id is not None and item.task_run_id in aliases:
        return renamed(item.item, aliases[item.task_run_id])
    return item.item
