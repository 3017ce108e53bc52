"""One transition through one policy: every rule is asked in order and the first that refuses settles it.

Nothing here reads a clock or a database. What a rule must know it asks of `facts`, and so pays for it; what must be
done it returns as effects, and they are dropped when a later rule refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Protocol
from uuid import UUID

from orchestration.core.bookkeeping import consequences
from orchestration.core.effects import Effect
from orchestration.core.runs import Run
from orchestration.core.states import State, StateType
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
    """Answers that rules may ask for. Each costs at most one query, and only when it is asked."""

    @property
    def now(self) -> datetime: ...
    @property
    def draw(self) -> float:
        """A number in [0, 1), the same however often it is asked: the only chance that rules may use."""

    def parent_flow_run(self) -> ParentFlowRun | None: ...
    @property
    def slot_wait_seconds(self) -> int:
        """How long a run is told to wait for a slot before it asks again."""

    def cached_state(self, cache_key: str) -> State | None: ...
    def limits_on(self, tags: Sequence[str]) -> Sequence[LimitUse]: ...
    def active_runs_of_same_flow(self) -> Sequence[UUID]: ...


@dataclass(frozen=True, slots=True)
class ParentFlowRun:
    """The flow run that a task run belongs to."""

    id: UUID
    state: State | None
    run_count: int


@dataclass(frozen=True, slots=True)
class LimitUse:
    """A concurrency limit, and how many runs other than this one hold a slot of it."""

    tag: str
    limit: int
    taken: int


class Rule(Protocol):
    """A rule is a class with a docstring for people, two sets of state types, and one judgement.

    `leaving` may contain None: the run has no state yet.
    """

    @property
    def leaving(self) -> frozenset[StateType | None]: ...
    @property
    def entering(self) -> frozenset[StateType]: ...
    def judge(self, transition: Transition, facts: Facts) -> Verdict: ...


Policy = tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One line of the trail: which rule was asked, what it said, and why."""

    rule: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What comes of a proposal. `state` is to be written (None: the run keeps its state)."""

    verdict: Accept | Reject | Wait | Abort
    state: State | None
    run: Run
    effects: tuple[Effect, ...]
    trail: tuple[Judgement, ...]


@lru_cache(maxsize=1024)
def concerned(policy: Policy, leaving: StateType | None, entering: StateType) -> tuple[tuple[str, Rule], ...]:
    """The rules of a policy that a transition between these types concerns, with their names."""
    return tuple((type(r).__name__, r) for r in policy if leaving in r.leaving and entering in r.entering)


def decide(transition: Transition, policy: Policy, facts: Facts) -> Decision:
    """Judge `transition` by the rules of `policy` that it concerns, in their order."""
    current = transition
    effects: tuple[Effect, ...] = ()
    trail: list[Judgement] = []
    for name, rule in concerned(policy, transition.initial_type, transition.proposed.type):
        verdict = rule.judge(current, facts)
        trail.append(Judgement(name, VERDICT_NAMES[type(verdict)], verdict.reason))
        if verdict is ACCEPT:
            continue
        match verdict:
            case Accept():
                effects += verdict.effects
            case Amend():
                effects += verdict.effects
                current = Transition(verdict.run or current.run, current.initial, verdict.state or current.proposed)
            case Reject(state=None):
                return Decision(verdict, None, transition.run, (), tuple(trail))
            case Reject():
                return _written(verdict, verdict.state, verdict.run or transition.run, verdict.effects, trail)
            case _:
                return Decision(verdict, None, transition.run, (), tuple(trail))
    return _written(ACCEPT, current.proposed, current.run, effects, trail)


VERDICT_NAMES = {kind: kind.__name__.lower() for kind in (Accept, Amend, Reject, Wait, Abort)}


def _written(
    verdict: Accept | Reject, state: State | None, run: Run, effects: tuple[Effect, ...], trail: list[Judgement]
) -> Decision:
    assert state is not None
    return Decision(verdict, state, run, effects + consequences(run, state), tuple(trail))
