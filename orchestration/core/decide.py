"""One transition through one policy: the rules are asked in order, and the first one that refuses decides.

Nothing here reads a clock or a database. A rule asks `facts` for the values that it needs, and only these are read. It
returns changes as effects, which are dropped if a later rule refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from orchestration.core.bookkeeping import consequences
from orchestration.core.effects import Effect
from orchestration.core.runs import Run
from orchestration.core.states import ANY, State, StateType
from orchestration.core.verdicts import ACCEPT, Abort, Accept, Amend, Reject, Verdict, Wait


@dataclass(frozen=True, slots=True)
class Transition:
    """The pair of states that a rule judges, and the run as earlier rules left it."""

    run: Run
    initial: State | None
    proposed: State

    @property
    def initial_type(self) -> StateType | None:
        return self.initial.type if self.initial else None


class Facts(Protocol):
    """Facts that every rule may ask for. Each costs at most one query, and only if it is asked for.

    A rule that must know more declares a protocol of its own next to it, and judges with facts of that kind;
    `policies.AllFacts` joins them.
    """

    @property
    def now(self) -> datetime: ...
    @property
    def draw(self) -> float:
        """Return a random number in [0, 1), the same during a transition. Rules use no other source of randomness."""

    def parent_flow_run(self) -> ParentFlowRun | None: ...
    @property
    def slot_wait_seconds(self) -> int:
        """Return how long a run waits for a slot before it proposes the state again."""


@dataclass(frozen=True, slots=True)
class ParentFlowRun:
    """The flow run that a task run belongs to."""

    id: UUID
    state: State | None
    run_count: int


# Sets of state types that several rules use. None stands for a run that has no state yet.
ANYWHERE: frozenset[StateType | None] = frozenset({*ANY, None})
TO_RUNNING = frozenset({StateType.RUNNING})
FROM_RUNNING: frozenset[StateType | None] = frozenset({StateType.RUNNING})
WAITING: frozenset[StateType | None] = frozenset({StateType.SCHEDULED, StateType.PENDING})


F = TypeVar("F", bound=Facts)
F_contra = TypeVar("F_contra", bound=Facts, contravariant=True)


class Rule(Protocol[F_contra]):
    """A class with a docstring for users, a number, two sets of state types, and one judgement.

    Stored trails name the rule by its number: it never changes, and is never given to another rule. `leaving` may
    contain None: the run has no state yet.
    """

    @property
    def number(self) -> int: ...
    @property
    def leaving(self) -> frozenset[StateType | None]: ...
    @property
    def entering(self) -> frozenset[StateType]: ...
    def judge(self, transition: Transition, facts: F_contra) -> Verdict: ...


class Judgement(NamedTuple):
    """One line of the trail: the rule, its verdict, and the reason."""

    rule: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a proposal. `state` is to be written (None: the run keeps its state)."""

    verdict: Accept | Reject | Wait | Abort
    state: State | None
    run: Run
    effects: tuple[Effect, ...]
    trail: tuple[Judgement, ...]


VERDICT_NAMES = {kind: kind.__name__.lower() for kind in (Accept, Amend, Reject, Wait, Abort)}


@lru_cache(maxsize=1024)
def concerned(
    policy: tuple[Rule[Any], ...], leaving: StateType | None, entering: StateType
) -> tuple[tuple[Rule[Any], Judgement], ...]:
    """Return the rules of a policy that concern a transition between these types.

    Each comes with its line of the trail for the usual case: that it accepts without a reason.
    """
    rules = [rule for rule in policy if leaving in rule.leaving and entering in rule.entering]
    return tuple((rule, Judgement(type(rule).__name__, VERDICT_NAMES[Accept], "")) for rule in rules)


def decide(transition: Transition, policy: tuple[Rule[F], ...], facts: F) -> Decision:
    """Judge `transition` by those rules of `policy` that concern it, in order."""
    current = transition
    effects: tuple[Effect, ...] = ()
    trail: list[Judgement] = []
    for rule, usual in concerned(policy, transition.initial_type, transition.proposed.type):
        verdict = rule.judge(current, facts)
        if verdict is ACCEPT:
            trail.append(usual)
            continue
        trail.append(Judgement(usual.rule, VERDICT_NAMES[type(verdict)], verdict.reason))
        match verdict:
            case Accept():
                effects += verdict.effects
            case Amend():
                effects += verdict.effects
                current = Transition(verdict.run or current.run, current.initial, verdict.state or current.proposed)
            case Reject(state=None):
                return Decision(verdict, None, transition.run, (), tuple(trail))
            case Reject():
                return _written(
                    transition, verdict, verdict.state, verdict.run or transition.run, verdict.effects, trail
                )
            case _:
                return Decision(verdict, None, transition.run, (), tuple(trail))
    return _written(transition, ACCEPT, current.proposed, current.run, effects, trail)


def _written(
    transition: Transition,
    verdict: Accept | Reject,
    state: State | None,
    run: Run,
    effects: tuple[Effect, ...],
    trail: list[Judgement],
) -> Decision:
    assert state is not None
    follow = consequences(run, transition.initial, state)
    return Decision(verdict, state, run, effects + follow, tuple(trail))
