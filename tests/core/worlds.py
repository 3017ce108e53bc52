"""Small worlds for the rules: a moment, facts that answer from plain values, runs and states with defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orchestration.core.decide import Decision, ParentFlowRun, Transition, decide
from orchestration.core.policies import CORE_FLOW, CORE_TASK, Policy
from orchestration.core.rules.concurrency import LimitUse
from orchestration.core.rules.queueing import SlotUse
from orchestration.core.runs import Run, RunPolicy
from orchestration.core.states import State, StateDetails, StateType

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ME, PARENT, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)


@dataclass
class World:
    """Facts as plain values. `asked` records what the rules wanted to know."""

    now: datetime = NOON
    draw: float = 0.5
    slot_wait_seconds: int = 30
    parent: ParentFlowRun | None = None
    cached: dict[str, State] = field(default_factory=dict)
    limits: tuple[LimitUse, ...] = ()
    active: tuple[UUID, ...] = ()
    slot_uses: tuple[SlotUse, ...] = ()
    claims: int = 1
    asked: list[str] = field(default_factory=list)

    def parent_flow_run(self) -> ParentFlowRun | None:
        self.asked.append("parent")
        return self.parent

    def number_of_claims(self) -> int:
        self.asked.append("claims")
        return self.claims

    def cached_state(self, cache_key: str) -> State | None:
        self.asked.append("cache")
        return self.cached.get(cache_key)

    def limits_on(self, tags: Sequence[str]) -> Sequence[LimitUse]:
        self.asked.append("limits")
        return [use for use in self.limits if use.tag in tags]

    def active_runs_of_same_flow(self) -> Sequence[UUID]:
        self.asked.append("overlap")
        return self.active

    def run_slots(self) -> Sequence[SlotUse]:
        self.asked.append("slots")
        return self.slot_uses


def state(type_: str, name: str = "", *, data: Any = None, at: datetime = NOON, **details: Any) -> State:
    return State(type=StateType(type_), name=name, data=data, timestamp=at, details=StateDetails(**details))


def flow_run(*, run_count: int = 0, policy: RunPolicy | None = None, **columns: Any) -> Run:
    return Run(id=ME, kind="flow-run", run_count=run_count, policy=policy or RunPolicy(), **columns)


def task_run(*, run_count: int = 0, policy: RunPolicy | None = None, **columns: Any) -> Run:
    columns.setdefault("flow_run_id", PARENT)
    return Run(id=ME, kind="task-run", run_count=run_count, policy=policy or RunPolicy(), **columns)


def parent_in(type_: str, *, run_count: int = 1, **details: Any) -> ParentFlowRun:
    return ParentFlowRun(PARENT, state(type_, **details), run_count)


def judge_flow(initial: State | None, proposed: State, run: Run | None = None, world: World | None = None) -> Decision:
    return judge(CORE_FLOW, initial, proposed, run or flow_run(), world or World())


def judge_task(initial: State | None, proposed: State, run: Run | None = None, world: World | None = None) -> Decision:
    return judge(CORE_TASK, initial, proposed, run or task_run(), world or World(parent=parent_in("RUNNING")))


def judge(policy: Policy, initial: State | None, proposed: State, run: Run, world: World) -> Decision:
    return decide(Transition(run, initial, proposed), policy, world)


def verdict_of(decision: Decision) -> str:
    """Accept, Reject (another state is written), Keep (rejected, nothing written), Wait or Abort."""
    name = type(decision.verdict).__name__
    return "Keep" if name == "Reject" and decision.state is None else name


def soon(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)
