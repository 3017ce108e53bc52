"""Decide which calls of a finished run would run again, and which would reuse their result, in a retry from a task.

The engine follows the same reasoning (`orionflow.engine.recorded`): a call reuses the result of the same task with the
same inputs. Calls that have a result, but must run again, are listed by the ids of their states, so that the engine
does not reuse them: the chosen tasks, the tasks that take input from them, expired results, and calls whose inputs
cannot be compared.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

# Matches keys with a digest of the inputs and the number of earlier calls with the same inputs. Other keys only number
# the calls.
IDENTIFIED = re.compile(r"[0-9a-f]{40}-\d+\Z")
# Matches the key of a call that ran again as a run of its own, next to the stored run of the same key.
RENEWED = re.compile(r"(?P<key>.+)-[0-9a-f]{32}\Z")
_DIGITS = re.compile(r"-[0-9a-f]+\Z")


class Cause(StrEnum):
    """Why a call runs again."""

    CHOSEN = "chosen"
    DEPENDS = "depends"
    INSIDE = "inside"
    UNFINISHED = "unfinished"
    UNSTORED = "unstored"
    CHANGED = "changed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


# The order of causes in lists: the least expected come first.
FIRST = {
    cause: number
    for number, cause in enumerate(
        (
            Cause.CHOSEN,
            Cause.EXPIRED,
            Cause.UNKNOWN,
            Cause.CHANGED,
            Cause.UNSTORED,
            Cause.UNFINISHED,
            Cause.DEPENDS,
            Cause.INSIDE,
        )
    )
}
# Causes for which a result is not reused although there may be one.
SET_ASIDE = frozenset({Cause.CHOSEN, Cause.DEPENDS, Cause.EXPIRED, Cause.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A task run of a finished run, with its records."""

    id: UUID
    flow_run_id: UUID
    key: str
    dynamic_key: str
    name: str
    state_id: UUID | None
    state_type: str | None
    has_result: bool
    # Whether the task changed its arguments, which reusing its value would not repeat.
    changed_inputs: bool = False
    upstream: Collection[UUID] = ()
    expires: datetime | None = None
    # The nested run that this call stands for; whether that is a run of a deployment, in a process of its own; and
    # whether it was deleted.
    child_id: UUID | None = None
    is_deployed: bool = False
    is_childless: bool = False
    # Whether the call ran again later, as a separate task run.
    was_renewed: bool = False
    # Whether it had its inputs. A call whose inputs never arrived runs for the first time in the retry, under another
    # key.
    has_begun: bool = True
    # Whether the process of the run created the current state, with an id from its own clock.
    ended_itself: bool = True
    end: datetime | None = None
    lasted: timedelta = timedelta()

    @property
    def is_identified(self) -> bool:
        """Whether a digest identifies its inputs."""
        return IDENTIFIED.match(self.dynamic_key) is not None

    @property
    def is_reusable(self) -> bool:
        return self.state_type == "COMPLETED" and (self.has_result or self.is_deployed)

    @property
    def task_name(self) -> str:
        """The name of the function in the key, without the functions that it is nested in."""
        return _DIGITS.sub("", self.key).rpartition(".")[2]

    @property
    def names_of_task(self) -> set[str]:
        """The names by which a user may mean its task."""
        name, _, number = self.name.rpartition("-")
        return {self.key, self.task_name, *([name] if number.isdigit() else [])}


@dataclass(frozen=True, slots=True)
class Recorded:
    """The calls of one flow run's last attempt, in the order in which they were first made."""

    calls: Sequence[Call]
    # Within one attempt, the ids of calls and states can be compared by time.
    has_one_attempt: bool = True


Tree = Mapping[UUID, Recorded]


@dataclass(slots=True)
class Plan:
    """The outcome that a retry would have. Calls in a nested run count as well as the call that stands for that run."""

    reused: list[Call] = field(default_factory=list)
    again: list[tuple[Call, Cause]] = field(default_factory=list)
    # The states that the engine must not reuse, and those of nested runs of which only a part runs again.
    set_aside: list[UUID] = field(default_factory=list)
    entered: list[UUID] = field(default_factory=list)
    # The number of calls reused by their position alone, because their inputs cannot be compared.
    by_order: int = 0

    @property
    def causes(self) -> Counter[Cause]:
        return Counter(cause for _, cause in self.again)

    @property
    def work(self) -> timedelta:
        """The total time that the calls that run again took last time."""
        return sum((call.lasted for call in self._leaves()), timedelta())

    @property
    def elapsed(self) -> timedelta:
        """How long at least one of them was running: the elapsed time, without gaps and overlaps."""
        spans = sorted((call.end - call.lasted, call.end) for call in self._leaves() if call.end)
        total, covered = timedelta(), None
        for start, end in spans:
            begin = start if covered is None or start > covered else covered
            if end > begin:
                total, covered = total + (end - begin), end
        return total

    @property
    def longest_chain(self) -> timedelta:
        """The duration of the longest chain of calls by their inputs: a lower bound of the elapsed time."""
        lengths: dict[UUID, timedelta] = {}
        for call in self._leaves():
            before = max((lengths[one] for one in call.upstream if one in lengths), default=timedelta())
            lengths[call.id] = before + call.lasted
        return max(lengths.values(), default=timedelta())

    def _leaves(self) -> list[Call]:
        """Leave out the calls that stand for nested runs whose own calls are in the list."""
        inside = {call.flow_run_id for call, _ in self.again}
        return [call for call, _ in self.again if call.child_id not in inside]


class CallsByName:
    """The calls of a run by the names that a user may give: one call by id or name, all calls of a task by its name."""

    def __init__(self, tree: Tree) -> None:
        self._single: dict[str, list[Call]] = defaultdict(list)
        self._of_task: dict[str, list[Call]] = defaultdict(list)
        for recorded in tree.values():
            for call in recorded.calls:
                self._single[str(call.id)].append(call)
                self._single[call.name].append(call)
                for name in call.names_of_task:
                    self._of_task[name].append(call)

    def meant_by(self, wanted: str) -> Sequence[Call]:
        """Return the calls that this text stands for."""
        if wanted in self._single:
            return self._single[wanted]
        return self._of_task.get(wanted, ())


def failed_calls(tree: Tree) -> list[Call]:
    """Return the calls that did not complete, except those that stand for a nested run whose calls are in the tree."""
    return [
        call
        for recorded in tree.values()
        for call in recorded.calls
        if call.state_type != "COMPLETED" and (call.child_id is None or call.child_id not in tree)
    ]


def plan_of(tree: Tree, root: UUID, chosen: Collection[UUID], now: datetime) -> Plan:
    """Decide for every call of a run and of its nested runs whether it runs again in a retry from `chosen`."""
    plan = Plan()
    _judge(tree, root, frozenset(chosen), now, plan)
    return plan


def _judge(tree: Tree, run_id: UUID, chosen: frozenset[UUID], now: datetime, plan: Plan) -> None:
    recorded = tree[run_id]
    causes = _causes(tree, recorded, chosen, now)
    for call in recorded.calls:
        cause = causes.get(call.id)
        if cause is None:
            plan.reused.append(call)
            plan.by_order += not call.is_identified
            continue
        if call.has_begun:
            plan.again.append((call, cause))
        if call.state_id is not None:
            if cause in SET_ASIDE:
                plan.set_aside.append(call.state_id)
            elif cause is Cause.INSIDE:
                plan.entered.append(call.state_id)
        if call.child_id in tree and call.child_id is not None:
            if cause in SET_ASIDE:
                inside = _everything(tree, call.child_id)
                plan.again.extend((inner, Cause.INSIDE) for inner in inside if inner.has_begun)
            else:
                _judge(tree, call.child_id, chosen, now, plan)


def _causes(tree: Tree, recorded: Recorded, chosen: frozenset[UUID], now: datetime) -> dict[UUID, Cause]:
    """Return why calls of one flow run would run again. Calls without an entry reuse their result."""
    calls = recorded.calls
    causes: dict[UUID, Cause] = {call.id: Cause.CHOSEN for call in calls if call.id in chosen}
    if chosen:
        for call in calls:
            if call.id not in causes and call.child_id in tree and _holds(tree, call.child_id, chosen):
                causes[call.id] = Cause.INSIDE
    for id in _downstream(calls, causes):
        causes[id] = Cause.DEPENDS
    first_end: UUID | None = None
    for call in calls:
        if call.id not in causes and (cause := _own_cause(call, causes, first_end, now)) is not None:
            causes[call.id] = cause
        if call.id in causes:
            # Run and state ids made by one process ascend. A call with a later id may have seen the value that this one
            # returned.
            is_dated = recorded.has_one_attempt and call.ended_itself
            end = call.state_id if is_dated and call.state_id is not None else call.id
            first_end = end if first_end is None else min(first_end, end)
    return causes


def _own_cause(call: Call, causes: Mapping[UUID, Cause], first_end: UUID | None, now: datetime) -> Cause | None:
    if call.state_type != "COMPLETED":
        return Cause.UNFINISHED
    if not call.is_reusable:
        return Cause.CHANGED if call.changed_inputs else Cause.UNSTORED
    if call.expires is not None and call.expires <= now:
        return Cause.EXPIRED
    if call.was_renewed or call.is_childless:
        return Cause.UNKNOWN
    if call.is_identified:
        return None
    # The inputs may come from a call that had ended by then and runs again, or from one whose future was passed to this
    # call.
    is_later = first_end is not None and call.id > first_end
    return Cause.UNKNOWN if is_later or any(one in causes for one in call.upstream) else None


def _downstream(calls: Sequence[Call], starts: Collection[UUID]) -> Iterator[UUID]:
    """Yield the calls that take input from `starts`, directly or indirectly, without `starts` themselves."""
    takers: dict[UUID, list[UUID]] = {}
    for call in calls:
        for one in call.upstream:
            takers.setdefault(one, []).append(call.id)
    seen, queue = set(starts), list(starts)
    while queue:
        for taker in takers.get(queue.pop(), ()):
            if taker not in seen:
                seen.add(taker)
                queue.append(taker)
                yield taker


def _holds(tree: Tree, run_id: UUID | None, chosen: Collection[UUID]) -> bool:
    if run_id is None or run_id not in tree:
        return False
    return any(call.id in chosen or _holds(tree, call.child_id, chosen) for call in tree[run_id].calls)


def _everything(tree: Tree, run_id: UUID) -> Iterable[Call]:
    for call in tree[run_id].calls:
        yield call
        if call.child_id is not None and call.child_id in tree:
            yield from _everything(tree, call.child_id)
