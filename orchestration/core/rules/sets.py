"""Sets of state types that more than one rule leaves or enters; None stands for a run that has no state yet."""

from __future__ import annotations

from orchestration.core.states import ANY, StateType

ANYWHERE: frozenset[StateType | None] = frozenset({*ANY, None})
TO_RUNNING = frozenset({StateType.RUNNING})
FROM_RUNNING: frozenset[StateType | None] = frozenset({StateType.RUNNING})
WAITING: frozenset[StateType | None] = frozenset({StateType.SCHEDULED, StateType.PENDING})
