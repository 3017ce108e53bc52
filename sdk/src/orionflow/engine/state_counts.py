"""Counts of runs by their final state, and the state of their flow run that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Any

from orionflow.contract.states import BAD, TERMINAL
from orionflow.states import UNSET, State, StateType
from orionflow.values.weights import weight_of_frames

# Enough to name the failed runs; a flow of a million tasks must not keep a million states.
KEPT = 100
# Bytes that the frames of kept exceptions may hold: arguments and variables of everything that was running.
KEPT_BYTES = 16 * 1024 * 1024


class StateCounts:
    """Counts states by type, and keeps the first ones that are not completed."""

    __slots__ = ("_bytes", "_counts", "_kept", "_lock", "total")

    def __init__(self, states: Iterable[State[Any]] = ()) -> None:
        self.total = 0
        self._counts: dict[StateType, int] = {}
        self._kept: list[State[Any]] = []
        self._bytes = 0
        # Submitted tasks end in threads of their own.
        self._lock = Lock()
        for state in states:
            self.add(state)

    def add(self, state: State[Any]) -> None:
        kind = state.type
        with self._lock:
            self.total += 1
            self._counts[kind] = self._counts.get(kind, 0) + 1
            if kind is not StateType.COMPLETED and len(self._kept) < KEPT:
                self._kept.append(self._lightened(state))

    def _lightened(self, state: State[Any]) -> State[Any]:
        """Return the state, without its exception if that would keep too much memory alive.

        The first state is kept whole, because its exception is the one that is raised.
        """
        if not isinstance(state.value, BaseException):
            return state
        weight = weight_of_frames(state.value)
        if self._kept and self._bytes + weight > KEPT_BYTES:
            return state.copy(value=UNSET, data=None)
        self._bytes += weight
        return state

    def renew_lock(self) -> None:
        """Continue in a forked process, whose parent's threads may have held the lock."""
        self._lock = Lock()

    @property
    def not_completed(self) -> list[State[Any]]:
        """The first states that are not completed."""
        return self._kept

    def of(self, *types: StateType) -> int:
        return sum(self._counts.get(kind, 0) for kind in types)

    def verdict(self) -> tuple[StateType, str]:
        """Return the type of the state that follows from these states, and the reason."""
        if self.of(StateType.COMPLETED) == self.total:
            return StateType.COMPLETED, f"All {self.total} runs completed." if self.total != 1 else "The run completed."
        if cancelled := self.of(StateType.CANCELLED):
            return StateType.CANCELLED, f"{cancelled}/{self.total} runs were cancelled."
        if paused := self.of(StateType.PAUSED):
            return StateType.PAUSED, f"{paused}/{self.total} runs are paused."
        if failed := self.of(*BAD):
            return StateType.FAILED, f"{failed}/{self.total} runs failed."
        return StateType.FAILED, f"{self.total - self.of(*TERMINAL)}/{self.total} runs did not finish."
