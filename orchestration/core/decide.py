"""One transition through one policy: every rule is asked in order and the first that refuses settles it.

Nothing here reads a clock or a database. What a rule must know it asks of `facts`, and so pays for it; what must be
done it returns as effects, and they are dropped when a later rule refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

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


def decide(transition: Transition, policy: Policy, facts: Facts) -> Decision:
    """Judge `transition` by the rules of `policy` that it concerns, in their order."""
    intended = (transition.initial_type, transition.proposed.type)
    current, effects, trail = transition, (), []
    for rule in policy:
        if intended[0] not in rule.leaving or intended[1] not in rule.entering:
            continue
        verdict = rule.judge(current, facts)
        trail.append(Judgement(type(rule).__name__, type(verdict).__name__.lower(), verdict.reason))
        match verdict:
            case Accept():
                effects += verdict.effects
            case Amend():
                effects += verdict.effects
                current = replace(current, proposed=verdict.state or current.proposed, run=verdict.run or current.run)
            case Reject():
                run = verdict.run or transition.run
                return Decision(verdict, verdict.state, run, verdict.effects, tuple(trail))
            case _:
                return Decision(verdict, None, transition.run, (), tuple(trail))
    return Decision(ACCEPT, current.proposed, current.run, effects, tuple(trail))
