"""Where attempts run: in processes on this machine, in containers, or in Jobs of a cluster.

Leases, heartbeats, commands and exit reports identify an attempt only by its key, so all three share that code.
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
    """How an attempt ended: its exit code, or the negative number of the signal; None if the end was not observed.

    `cause` is what the infrastructure knows, such as an image that could not be pulled. If the run is not at fault and
    had not started, it waits for an agent again.
    """

    key: str
    status: int | None
    cause: str | None = None
    is_agents_fault: bool = False


@dataclass(frozen=True, slots=True)
class Survivor:
    """An attempt that was started before the agent restarted, and may still be running."""

    flow_run_id: UUID
    epoch: int
    # Seconds since it was started.
    age: float = 0.0
    # Whether it has ended; if it is not adopted, it is kept for its time to live, or for the user who wanted to keep
    # it.
    stays: bool = False

    @property
    def key(self) -> str:
        return f"{self.flow_run_id}:{self.epoch}"


class Infrastructure(Protocol):
    """Starts attempts, and reports their starts, messages and ends to the callbacks that it was created with."""

    #: Whether attempts continue without the agent, and are adopted by its next start.
    outlives_agent: bool
    #: Whether attempts can be frozen by SIGSTOP and continued by SIGCONT.
    can_stand_still: bool

    def is_ready(self, patience: float) -> bool:
        """Whether attempts can be started, now or within `patience` seconds."""

    def survivors(self) -> Sequence[Survivor]:
        """Return the remaining attempts of an earlier start of this agent. Raise InfrastructureAway."""

    def adopt(self, keys: Collection[str]) -> None:
        """Continue these survivors, and remove the others."""

    def start(self, key: str, order: Mapping[str, Any]) -> None:
        """Start an attempt. A later failure is reported as its end."""

    def signal(self, key: str, number: int) -> None:
        """Signal an attempt, if it is still running. Never wait for an answer."""

    def clear(self, key: str) -> None:
        """Remove the remains of an attempt whose end the API knows."""

    def close(self) -> None:
        """Release all resources; attempts that do not outlive the agent end."""
