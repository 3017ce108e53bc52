"""The verdicts of rules. A rule returns its verdict; it never writes into a shared context."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.core.effects import Effect
from orchestration.core.runs import Run
from orchestration.core.states import State


@dataclass(frozen=True, slots=True)
class Accept:
    """Accept the proposed state; perform `effects` when it is written."""

    reason: str = ""
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Amend:
    """Accept it with changes: another state of the same type, or other facts of the run for later rules."""

    reason: str
    state: State | None = None
    run: Run | None = None
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the proposal; write `state` instead, or keep the current state if there is none."""

    reason: str
    state: State | None = None
    run: Run | None = None
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Decide nothing yet: propose the same state again after `seconds`."""

    reason: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop: the run keeps its state, and its client ends without an error."""

    reason: str


Verdict = Accept | Amend | Reject | Wait | Abort
ACCEPT = Accept()
