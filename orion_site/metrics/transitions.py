"""The number of states that this process recorded, by kind of run and type of state. A listener after commits."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from uuid import UUID

from orionflow.contract.states import StateType

_counted = Counter({(kind, one.value): 0 for kind in ("flow-run", "task-run") for one in StateType})
_lock = Lock()


def run_changed(kind: str, run_id: UUID, state_type: str) -> None:
    # The kind "agent" announces that an agent has something to do, not a state.
    if kind != "agent":
        with _lock:
            _counted[kind, state_type] += 1


def transitions() -> dict[tuple[str, str], int]:
    with _lock:
        return dict(_counted)
