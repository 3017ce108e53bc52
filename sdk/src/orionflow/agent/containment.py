"""How the process of a run is set apart: its own session, an end with its launcher, and limits if they are wanted."""

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
# Of all processes of the machine the kernel shall rather end one of ours than the agent when memory is gone.
OOM_SCORE = 500
# They end programs; the launcher ends with its agent, and not before.
HELD_BACK = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@cache
def system_library() -> Any:
    """Return the C library, for the calls that Python does not have."""
    return ctypes.CDLL(None, use_errno=True)


def set_apart(launcher: int) -> None:
    """Make this new process the leader of its own session, bound to its launcher's life."""
    os.setsid()
    if sys.platform == "linux":
        system_library().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        system_library().prctl(PR_SET_NAME, b"orion-spare", 0, 0, 0)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
            score.write(str(OOM_SCORE))
    if os.getppid() != launcher:
        # It died before the kernel knew that this process wants to hear of it.
        os._exit(1)


def become_run(limits: Mapping[str, int | None]) -> None:
    """Give this process, which now has a run to execute, its name and its limits, if some are wanted."""
    if sys.platform == "linux":
        system_library().prctl(PR_SET_NAME, b"orion-run", 0, 0, 0)
    _limit(limits)


def _limit(limits: Mapping[str, int | None]) -> None:
    import resource

    if (memory := limits.get("memory_bytes")) is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if (processes := limits.get("processes")) is not None:
        # Counts all processes and threads of this user, and does not bind root.
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def ordinary_signals() -> None:
    """Signals as a Python program finds them; the launcher holds some back."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


def kill_group(leader: int, number: int = signal.SIGKILL) -> None:
    """Signal a process and all that it started; nothing happens when they are gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
