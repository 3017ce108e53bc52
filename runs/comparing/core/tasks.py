"""Task runs of two flow runs in pairs: those of the same call, by task and number of the call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runs.comparing.core.compared import ComparedTask, TaskDifference
from runs.comparing.core.usual import Usual, differs
from runs.periods import period_text

MOST_SHOWN = 200
# The most informative kinds of differences come first.
ORDER = ("state", "error", "only_before", "only_after", "cache", "attempts", "duration")
NOT_KNOWN = Usual()


@dataclass(frozen=True, slots=True)
class Pair:
    """One call, in both runs."""

    before: ComparedTask
    after: ComparedTask


@dataclass(frozen=True, slots=True)
class Aligned:
    """Pairs of calls that both runs made; and, by task, the calls that only one of them made."""

    pairs: Sequence[Pair]
    only_before: Mapping[str, Sequence[ComparedTask]]
    only_after: Mapping[str, Sequence[ComparedTask]]


def aligned(before: Sequence[ComparedTask], after: Sequence[ComparedTask]) -> Aligned:
    """Pair the calls of two runs by their keys, and the remaining calls of each task in order.

    Keys number the calls of a task, but calls made at the same time have random keys, which differ in each run.
    """
    theirs = {(task.key, task.dynamic_key): task for task in after}
    pairs, left = [], []
    for task in before:
        other = theirs.pop((task.key, task.dynamic_key), None)
        if other is None:
            left.append(task)
        else:
            pairs.append(Pair(task, other))
    old, new = _by_key(left), _by_key(theirs.values())
    for key in old.keys() & new.keys():
        number = min(len(old[key]), len(new[key]))
        pairs += [Pair(one, other) for one, other in zip(old[key], new[key], strict=False)]
        old[key], new[key] = old[key][number:], new[key][number:]
    return Aligned(pairs, _not_empty(old), _not_empty(new))


def _by_key(tasks: Iterable[ComparedTask]) -> dict[str, list[ComparedTask]]:
    found: defaultdict[str, list[ComparedTask]] = defaultdict(list)
    for task in tasks:
        found[task.key].append(task)
    return found


def _not_empty(tasks: Mapping[str, Sequence[ComparedTask]]) -> dict[str, Sequence[ComparedTask]]:
    return {key: some for key, some in tasks.items() if some}


def task_differences(found: Aligned, usual: Mapping[str, Usual]) -> tuple[list[TaskDifference], int]:
    """Return the differences, the most informative first, and the number of calls without any."""
    different = [*_of_one(found.only_before, "only_before"), *_of_one(found.only_after, "only_after")]
    alike = 0
    for pair in found.pairs:
        one = _of_pair(pair, usual.get(pair.after.key, NOT_KNOWN))
        if one is None:
            alike += 1
        else:
            different.append(one)
    different.sort(key=lambda one: (min(ORDER.index(kind) for kind in one.kinds), one.name))
    return different, alike


def _of_one(tasks: Mapping[str, Sequence[ComparedTask]], kind: str) -> Iterator[TaskDifference]:
    for key, some in tasks.items():
        which = "the earlier" if kind == "only_before" else "the later"
        number = len(some)
        text = f"only in {which} run" if number == 1 else f"{number:,} runs only in {which} run"
        first = some[0]
        name = first.name if number == 1 else first.base_name
        old, new = (first, None) if kind == "only_before" else (None, first)
        yield TaskDifference(key, name, (kind,), text, old, new, number)


def _of_pair(pair: Pair, usual: Usual) -> TaskDifference | None:
    before, after = pair.before, pair.after
    found: dict[str, str] = {}
    if before.was_cached != after.was_cached and before.state_type == after.state_type:
        found["cache"] = "ran, and was taken from the cache before" if before.was_cached else "was taken from the cache"
    elif before.state_type != after.state_type:
        found["state"] = f"{before.state_name} → {after.state_name}" + (f": {after.error}" if after.error else "")
    elif before.error != after.error:
        found["error"] = f"{before.error or 'no message'} → {after.error or 'no message'}"
    if before.attempts != after.attempts and before.attempts and after.attempts:
        found["attempts"] = f"{before.attempts} → {after.attempts} attempts"
    ran = not before.was_cached and not after.was_cached
    if ran and differs(before.seconds, after.seconds, usual):
        note = usual.note(after.seconds)
        took = f"{period_text(before.seconds)} → {period_text(after.seconds)}"
        found["duration"] = f"{took} ({note})" if note else took
    if not found:
        return None
    return TaskDifference(after.key, after.name, tuple(found), ", ".join(found.values()), before, after)
