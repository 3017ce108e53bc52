"""The verdicts of rules. A verdict is returned, never written into a shared context."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.core.effects import Effect
from orchestration.core.runs import Run
from orchestration.core.states import State


@dataclass(frozen=True, slots=True)
class Accept:
    """Let the transition pass; perform `effects` if it is written in the end."""

    reason: str = ""
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Amend:
    """Let it pass, changed: another state of the same type, or other facts of the run for the rules that follow."""

    reason: str
    state: State | None = None
    run: Run | None = None
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the proposal; write `state` in its place, or keep the current state if there is none."""

    reason: str
    state: State | None = None
    run: Run | None = None
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Neither yes nor no: propose the same again after `seconds`."""

    reason: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop: the run keeps its state and its client ends quietly."""

    reason: str


Verdict = Accept | Amend | Reject | Wait | Abort
ACCEPT = Accept()
