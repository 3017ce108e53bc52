"""The assignment of runs to agents: the one decision behind claims and hints. Pure; its input is read before.

Runs are assigned by the priority of their queue. Within one priority a pool may share fairly: then the next run belongs
to the share with the fewest active runs. Otherwise the run that has been due longest is next. Agents take turns.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

# The pool and share of a run, for pools that share fairly.
Share = tuple[UUID, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that may start as far as is known, and the line (the queue) in which it waits."""

    id: UUID
    priority: int
    # In any comparable notation.
    due: Any
    line: UUID | None = None
    # The ids of the queue, pool and deployment of which it would take a slot.
    limits: tuple[UUID, ...] = ()
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class Taker:
    """An agent that wants up to `wanted` runs from these lines (None: from all), or the one run that it names."""

    wanted: int
    lines: frozenset[UUID] | None = None
    named: UUID | None = None

    def after(self, received: int) -> Taker:
        """Return what the agent still wants when it has received so many runs."""
        return replace(self, wanted=max(self.wanted - received, 0)) if received else self


def hand_out(
    candidates: Iterable[Candidate],
    takers: Sequence[Taker],
    room: Mapping[UUID, int],
    going: Mapping[Share, int] | None = None,
) -> list[tuple[Candidate, int]]:
    """Return each assigned run, in order, with the index of its taker. No run is assigned twice, or beyond `room`."""
    return list(_Hand(takers, room, going or {}).out(candidates))


def in_turn(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the runs, the most urgent first, as they are assigned if nothing is limited or shared."""
    return sorted(candidates, key=lambda one: (one.priority, one.due, one.id))


class _Hand:
    def __init__(self, takers: Sequence[Taker], room: Mapping[UUID, int], going: Mapping[Share, int]) -> None:
        self._takers, self._room = takers, dict(room)
        self._going = _from_the_least(going)
        self._left = [taker.wanted for taker in takers]
        self._given: set[UUID] = set()
        # By line: the takers that serve it, in turn. Takers with few lines come first.
        self._turns: dict[UUID | None, deque[int]] = {}

    def out(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, int]]:
        candidates = list(candidates)
        yield from self._named(candidates)
        yield from self._by_turns(candidates)

    def _named(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, int]]:
        """Assign runs that are named. Whether there is room is left to the rules, which can say what was in the way."""
        names = {taker.named for taker in self._takers}
        named = [one for one in candidates if one.id in names]
        for number, taker in enumerate(self._takers):
            run = next((one for one in named if one.id == taker.named and _serves(taker, one)), None)
            if run is not None and run.id not in self._given:
                self._give(run)
                yield run, number

    def _by_turns(self, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, int]]:
        by_share: dict[tuple[int, Share | None], deque[Candidate]] = defaultdict(deque)
        for run in in_turn(candidates):
            by_share[run.priority, run.share].append(run)
        groups = list(by_share.values())
        heads = [(*self._urgency(runs[0]), number) for number, runs in enumerate(groups)]
        heapq.heapify(heads)
        wanted = sum(left for left, taker in zip(self._left, self._takers, strict=True) if taker.named is None)
        while heads and wanted:
            *urgency, group = heads[0]
            runs = groups[group]
            now = self._urgency(runs[0])
            if tuple(urgency) != now:
                # Another line with the same share had its turn meanwhile.
                heapq.heapreplace(heads, (*now, group))
                continue
            run = runs.popleft()
            number = self._next_taker(run) if self._may_start(run) else None
            if number is not None:
                self._give(run)
                self._left[number] -= 1
                wanted -= 1
                yield run, number
            if runs:
                heapq.heapreplace(heads, (*self._urgency(runs[0]), group))
            else:
                heapq.heappop(heads)

    def _urgency(self, run: Candidate) -> tuple[Any, ...]:
        return run.priority, self._going.get(run.share, 0) if run.share else 0, run.due, run.id

    def _may_start(self, run: Candidate) -> bool:
        return run.id not in self._given and all(self._room.get(limit, 1) > 0 for limit in run.limits)

    def _give(self, run: Candidate) -> None:
        self._given.add(run.id)
        for limit in run.limits:
            if limit in self._room:
                self._room[limit] -= 1
        if run.share:
            self._going[run.share] = self._going.get(run.share, 0) + 1

    def _next_taker(self, run: Candidate) -> int | None:
        if run.line not in self._turns:
            serving = [number for number, taker in enumerate(self._takers) if not taker.named and _serves(taker, run)]
            serving.sort(key=lambda number: _breadth(self._takers[number]))
            self._turns[run.line] = deque(serving)
        turns = self._turns[run.line]
        while turns:
            number = turns.popleft()
            if self._left[number] > 0:
                turns.append(number)
                return number
        return None


def _breadth(taker: Taker) -> tuple[bool, int]:
    """Sort takers of few lines before takers of many, and those of all lines last."""
    return (True, 0) if taker.lines is None else (False, len(taker.lines))


def _serves(taker: Taker, run: Candidate) -> bool:
    return taker.lines is None or run.line in taker.lines


def _from_the_least(going: Mapping[Share, int]) -> dict[Share, int]:
    """Count from the smallest share in each pool, so that pools are not compared by how busy they are."""
    least: dict[UUID, int] = {}
    for (pool, _), runs in going.items():
        least[pool] = min(runs, least.get(pool, runs))
    return {share: runs - least[share[0]] for share, runs in going.items()}
