"""Where attempts run: in processes of this machine, in containers, or in Jobs of a cluster.

Leases, heartbeats, commands and exit reports know an attempt by its key only, so they are the same code for all three.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from orionflow.errors import OrionError


class InfrastructureAway(OrionError):
    """Nothing can be started or listed now; it may be possible again later."""


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended: its exit code, or minus the signal; None when nobody saw it.

    `cause` says what the infrastructure knows of it, such as an image that could not be pulled. If that is not the
    fault of the run, one that had not begun waits for an agent again.
    """

    key: str
    status: int | None
    cause: str | None = None
    is_agents_fault: bool = False


@dataclass(frozen=True, slots=True)
class Survivor:
    """An attempt that an earlier start of the agent began, and that may still be going on."""

    flow_run_id: UUID
    epoch: int
    # Seconds since it began.
    age: float = 0.0
    # It has ended; if it is not adopted, it is left to its time to live, or to whoever wanted to keep it.
    stays: bool = False

    @property
    def key(self) -> str:
        return f"{self.flow_run_id}:{self.epoch}"


class Infrastructure(Protocol):
    """Starts attempts, and reports their starts, words and ends to the callbacks that it was made with."""

    #: Attempts go on when the agent is gone, and its next start adopts them.
    outlives_agent: bool
    #: SIGSTOP and SIGCONT do something.
    can_stand_still: bool

    def is_ready(self, patience: float) -> bool:
        """Whether attempts can be started, perhaps after a moment."""

    def survivors(self) -> Sequence[Survivor]:
        """Return what is left of an earlier start of this agent. Raises InfrastructureAway."""

    def adopt(self, keys: Collection[str]) -> None:
        """Go on with these survivors, and remove the others."""

    def start(self, key: str, order: Mapping[str, Any]) -> None:
        """Begin an attempt. What goes wrong later is its end."""

    def signal(self, key: str, number: int) -> None:
        """Signal an attempt, if it still lives. Never waits for an answer."""

    def clear(self, key: str) -> None:
        """Remove what is left of an attempt whose end the API knows."""

    def close(self) -> None:
        """Let go; attempts that do not outlive the agent end."""
