"""The order of a pool's queues: priorities are whole numbers from 1, and no two queues have the same. Pure."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from itertools import count
from typing import TypeVar

Q = TypeVar("Q", bound=Hashable)


def lowest_free(taken: Collection[int]) -> int:
    return next(number for number in count(1) if number not in set(taken))


def moved(priorities: Mapping[Q, int], queue: Q, priority: int) -> dict[Q, int]:
    """Return the changes when a queue gets this priority: the one that has it makes room, and so do those behind it."""
    changes = {} if priorities.get(queue) == priority else {queue: priority}
    place = priority
    for other, present in sorted(priorities.items(), key=lambda pair: pair[1]):
        if other == queue or present < priority:
            continue
        if present > place:
            break
        place += 1
        changes[other] = place
    return changes
