"""Which calls of a finished run would run again, and which would take up their result, if it is retried from a task.

The engine follows the same reasoning (`orionflow.engine.recorded`): a call takes up the result of the same task with
the same inputs. What runs again for another reason than the lack of a result is named by its state, for the engine to
leave it alone: the tasks that were chosen, what takes input from them, what has expired, and calls of which nobody can
know whether their inputs are still the same.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

# The digest of the inputs, and how many calls with the same ones came before; anything else only counts calls.
IDENTIFIED = re.compile(r"[0-9a-f]{40}-\d+\Z")
# A call that ran again beside the stored run of its key.
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


# In lists those come first that nobody would guess.
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
# These have a result that could be taken up, or a cached one that is not wanted.
SET_ASIDE = frozenset({Cause.CHOSEN, Cause.DEPENDS, Cause.EXPIRED, Cause.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A task run of a finished run, with what is recorded of it."""

    id: UUID
    flow_run_id: UUID
    key: str
    dynamic_key: str
    name: str
    state_id: UUID | None
    state_type: str | None
    has_result: bool
    # Whether its task wrote into its arguments, which its value does not repeat.
    changed_inputs: bool = False
    upstream: Collection[UUID] = ()
    expires: datetime | None = None
    # The nested run that it stands for, whether that is a run of a deployment, in a process of its own, and whether it
    # was deleted.
    child_id: UUID | None = None
    is_deployed: bool = False
    is_childless: bool = False
    # Whether the call ran again later, as a run of its own beside this one.
    was_renewed: bool = False
    # Whether its inputs were there: a call that waited for them in vain runs for the first time, under another key.
    has_begun: bool = True
    # Whether the process of the run made the current state, with an id from its own clock.
    ended_itself: bool = True
    end: datetime | None = None
    lasted: timedelta = timedelta()

    @property
    def is_identified(self) -> bool:
        """Whether its inputs are known by their digest."""
        return IDENTIFIED.match(self.dynamic_key) is not None

    @property
    def is_reusable(self) -> bool:
        return self.state_type == "COMPLETED" and (self.has_result or self.is_deployed)

    @property
    def task_name(self) -> str:
        """The name of the function in the key, whatever it is nested in."""
        return _DIGITS.sub("", self.key).rpartition(".")[2]

    @property
    def names_of_task(self) -> set[str]:
        """The names under which somebody may mean its task."""
        name, _, number = self.name.rpartition("-")
        return {self.key, self.task_name, *([name] if number.isdigit() else [])}


@dataclass(frozen=True, slots=True)
class Recorded:
    """The calls of one flow run's last attempt, in the order in which they were first made."""

    calls: Sequence[Call]
    # Of one attempt, the moments of all calls can be compared.
    has_one_attempt: bool = True


Tree = Mapping[UUID, Recorded]


@dataclass(slots=True)
class Plan:
    """The outcome that a retry would have. Calls in a nested run count beside the one that stands for that run."""

    reused: list[Call] = field(default_factory=list)
    again: list[tuple[Call, Cause]] = field(default_factory=list)
    # The states that the engine must not take up, and those of nested runs of which a part runs again.
    set_aside: list[UUID] = field(default_factory=list)
    entered: list[UUID] = field(default_factory=list)
    # Taken up by their number alone, as nobody can compare their inputs.
    by_order: int = 0

    @property
    def causes(self) -> Counter[Cause]:
        return Counter(cause for _, cause in self.again)

    @property
    def work(self) -> timedelta:
        """How long all that runs again took last time."""
        return sum((call.lasted for call in self._leaves()), timedelta())

    @property
    def elapsed(self) -> timedelta:
        """For how long at least one of them ran: what they took by the clock."""
        spans = sorted((call.end - call.lasted, call.end) for call in self._leaves() if call.end)
        total, covered = timedelta(), None
        for start, end in spans:
            begin = start if covered is None or start > covered else covered
            if end > begin:
                total, covered = total + (end - begin), end
        return total

    @property
    def longest_chain(self) -> timedelta:
        """The longest way through them by who takes input from whom: less than this it cannot take."""
        lengths: dict[UUID, timedelta] = {}
        for call in self._leaves():
            before = max((lengths[one] for one in call.upstream if one in lengths), default=timedelta())
            lengths[call.id] = before + call.lasted
        return max(lengths.values(), default=timedelta())

    def _leaves(self) -> list[Call]:
        """Without the calls that stand for nested runs whose own calls are among them."""
        inside = {call.flow_run_id for call, _ in self.again}
        return [call for call, _ in self.again if call.child_id not in inside]


class CallsByName:
    """The calls of a run by what somebody may call them: each by its id and name, and together by those of its task."""

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
        """Those that this text stands for."""
        if wanted in self._single:
            return self._single[wanted]
        return self._of_task.get(wanted, ())


def failed_calls(tree: Tree) -> list[Call]:
    """The calls that did not complete and stand for no nested run whose own calls say more."""
    return [
        call
        for recorded in tree.values()
        for call in recorded.calls
        if call.state_type != "COMPLETED" and (call.child_id is None or call.child_id not in tree)
    ]


def plan_of(tree: Tree, root: UUID, chosen: Collection[UUID], now: datetime) -> Plan:
    """Judge every call of a run and of what is nested in it, if it is retried from the chosen ones."""
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
    """Why calls of one flow run would run again; those that are missing take up their result."""
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
            # Ids of runs and of states that one process made ascend: a call after this one could know what it returned.
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
    # Its inputs may have come from whatever had ended by then and runs again; who submitted it, handed futures over.
    is_later = first_end is not None and call.id > first_end
    return Cause.UNKNOWN if is_later or any(one in causes for one in call.upstream) else None


def _downstream(calls: Sequence[Call], starts: Collection[UUID]) -> Iterator[UUID]:
    """The calls that take input from these, directly or not; none of these themselves."""
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
