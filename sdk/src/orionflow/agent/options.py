"""What `orion agent start` was asked for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LauncherKind = Literal["fork", "spawn"]
# System libraries of macOS do not survive a fork.
DEFAULT_LAUNCHER: LauncherKind = "spawn" if sys.platform == "darwin" else "fork"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """One agent: what it serves, and the limits that it holds its runs to."""

    home: Path
    queues: tuple[str, ...] = ()
    pool: str | None = None
    concurrency: int = 4
    broker: str | None = None
    name: str | None = None
    drain_seconds: float = 60.0
    # How long a process that was told to end may take before it is killed.
    stop_seconds: float = 30.0
    run_seconds: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    launcher: LauncherKind = DEFAULT_LAUNCHER
    once: bool = False
    # End when stdin ends: whoever started this agent is gone.
    follows_stdin: bool = False
