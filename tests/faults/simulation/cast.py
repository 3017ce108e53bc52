"""The agents and processes of a simulated world, and how many faults of which kind befall them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.faults.simulation.calls import Claim


@dataclass(frozen=True, slots=True)
class Scenario:
    """The size of a simulated world and its faults, which stop after `trouble` steps."""

    runs: int = 12
    agents: int = 3
    places: int = 3
    trouble: int = 60
    patience: int = 160
    crash_retries: tuple[int, ...] = (0, 0, 1, 2)
    chance: float = 0.35
    check_every: int = 10
    lost_messages: float = 0.2
    lost_answers: float = 0.04
    faults: tuple[str, ...] = ("kill", "freeze", "partition", "flush", "outage", "die", "cancel")


@dataclass(slots=True)
class Process:
    """A run's process on its agent: PENDING until its start is accepted, then at work."""

    claim: Claim
    work: int
    retried: bool
    trusted_until: int
    reported_state: str | None = "RUNNING"
    token: int = 0
    is_working: bool = False


@dataclass(slots=True)
class Agent:
    name: str
    start: int = 0
    is_registered: bool = False
    dead_until: int = -1
    frozen_until: int = -1
    cut_off_until: int = -1
    processes: list[Process] = field(default_factory=list)
    deaths: list[Claim] = field(default_factory=list)
