"""How many runs ended how, and what that makes of the flow run they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orionflow.states import TERMINAL, State, StateType

# Enough to name the culprits; a flow of a million tasks shall not keep a million states.
KEPT = 100
_FAILURES = (StateType.FAILED, StateType.CRASHED)


class Tally:
    """Counts states by type and keeps the first ones that are not completed."""

    __slots__ = ("_counts", "_kept", "total")

    def __init__(self, states: Iterable[State[Any]] = ()) -> None:
        self.total = 0
        self._counts: dict[StateType, int] = {}
        self._kept: list[State[Any]] = []
        for state in states:
            self.add(state)

    def add(self, state: State[Any]) -> None:
        kind = state.type
        self.total += 1
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if kind is not StateType.COMPLETED and len(self._kept) < KEPT:
            self._kept.append(state)

    @property
    def not_completed(self) -> list[State[Any]]:
        """The first states that are something else than completed."""
        return self._kept

    def of(self, *types: StateType) -> int:
        return sum(self._counts.get(kind, 0) for kind in types)

    def verdict(self) -> tuple[StateType, str]:
        """The type of the state that these states add up to, and why."""
        if self.of(StateType.COMPLETED) == self.total:
            return StateType.COMPLETED, f"All {self.total} runs completed." if self.total != 1 else "The run completed."
        if cancelled := self.of(StateType.CANCELLED):
            return StateType.CANCELLED, f"{cancelled}/{self.total} runs were cancelled."
        if paused := self.of(StateType.PAUSED):
            return StateType.PAUSED, f"{paused}/{self.total} runs are paused."
        if failed := self.of(*_FAILURES):
            return StateType.FAILED, f"{failed}/{self.total} runs failed."
        return StateType.FAILED, f"{self.total - self.of(*TERMINAL)}/{self.total} runs did not finish."
