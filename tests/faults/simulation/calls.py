"""The requests of a world to a server, and the periods of both in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

STEP = 5
LEASE, GRACE, HEARTBEAT, RECONCILE = 30, 5, STEP, STEP
# After so long without a tick of any server the reconciler first renews all leases.
SILENCE = 2 * HEARTBEAT
LOST_STARTS = 3
LIMIT = 3

TERMINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
HOLDING = frozenset({"PENDING", "RUNNING", "CANCELLING"})


class Look(NamedTuple):
    """A run as the server's rows show it."""

    state: str
    epoch: int


class Claim(NamedTuple):
    run: int
    epoch: int


class Replaced(Exception):
    """The agent's start is over as far as the server knows."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run to be: when it is due, how long its work takes, and how often it may crash."""

    due: int
    work: int
    crash_retries: int


class Server(Protocol):
    """The server's side of the protocol. Agents are known by name and the number of their start."""

    def create(self, plans: list[Plan]) -> None: ...
    def register(self, agent: str, start: int, now: int) -> None: ...
    def claim(self, agent: str, start: int, run: int | None, now: int) -> list[Claim]: ...
    def claim_together(self, asking: list[tuple[str, int]], now: int) -> list[list[Claim] | Replaced]:
        """Answer agents (with their starts) that ask at the same time for whatever is due, each for one run."""

    def heartbeat(self, agent: str, start: int, runs: Mapping[int, int], now: int) -> dict[int, str]: ...
    def report(self, run: int, epoch: int, state: str, token: int, now: int) -> str:
        """`accepted`, `refused` by the rules, or `lost`; a token that comes again is answered as it was."""

    def ended(self, run: int, epoch: int, now: int) -> None: ...
    def cancel(self, run: int, now: int) -> None: ...
    def reconcile(self, now: int) -> None: ...
    def due(self, now: int) -> list[int]: ...
    def look(self) -> list[Look]: ...
    def history(self, run: int) -> list[Look]: ...
    def faults(self, now: int) -> list[str]:
        """Return the findings of the server's own checker; called now and then, and in the end."""
