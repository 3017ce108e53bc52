"""Isolation of a run's process: its own session, an end together with its launcher, and optional limits."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
# If memory runs out, the kernel should kill a run rather than the agent.
OOM_SCORE = 500
# These signals end programs; the launcher ends only when its agent does.
HELD_BACK = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@cache
def system_library() -> Any:
    """Return the C library, for system calls that Python does not offer."""
    return ctypes.CDLL(None, use_errno=True)


def set_apart(launcher: int) -> None:
    """Make this new process the leader of its own session, which the kernel kills when its launcher ends."""
    os.setsid()
    if sys.platform == "linux":
        system_library().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        system_library().prctl(PR_SET_NAME, b"orion-spare", 0, 0, 0)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
            score.write(str(OOM_SCORE))
    if os.getppid() != launcher:
        # The launcher died before the kernel was asked to report its death.
        os._exit(1)


def become_run(limits: Mapping[str, int | None]) -> None:
    """Give this process, which now has a run to execute, its name and its limits, if any are set."""
    if sys.platform == "linux":
        system_library().prctl(PR_SET_NAME, b"orion-run", 0, 0, 0)
    _limit(limits)


def _limit(limits: Mapping[str, int | None]) -> None:
    import resource

    if (memory := limits.get("memory_bytes")) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if (processes := limits.get("processes")) is not None:
        # Counts all processes and threads of this user, and does not limit root.
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def ordinary_signals() -> None:
    """Restore the signal handling of an ordinary Python program; the launcher blocks some signals."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


def kill_group(leader: int, number: int = signal.SIGKILL) -> None:
    """Signal a process and everything that it started; do nothing if they have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
