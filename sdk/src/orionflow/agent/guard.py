"""The guard of a launcher: it sleeps until the launcher has ended, in whatever way, and kills what is left.

The kernel ends the process of a run with its launcher, but not the processes that the run started; and the agent, which
would do that, may be killed at the same moment.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from orionflow.agent.containment import HELD_BACK, PR_SET_NAME, kill_group, system_library


class Guard:
    """The launcher's side, which reports the current process groups. A guard that was killed is not replaced."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def add(self, group: int) -> None:
        self._send(f"+{group}\n")

    def remove(self, group: int) -> None:
        self._send(f"-{group}\n")

    def close(self) -> None:
        """Close the pipe in a forked child, whose life must not count as the launcher's."""
        os.close(self._pipe)

    def _send(self, line: str) -> None:
        with suppress(OSError):
            # Shorter than PIPE_BUF, so it is written whole by one call.
            os.write(self._pipe, line.encode())


def start_guard(agent: int) -> Guard:
    """Fork the guard. `agent` is the launcher's socket, which must close together with the launcher."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(writing)
        os.close(agent)
        _watch(reading)
    os.close(reading)
    return Guard(writing)


def _watch(pipe: int) -> NoReturn:
    # Out of the launcher's session, as a signal to that as a whole must not end the guard too.
    os.setsid()
    # They end programs, and the guard must outlive the launcher.
    for number in HELD_BACK:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        system_library().prctl(PR_SET_NAME, b"orion-guard", 0, 0, 0)
    groups: set[int] = set()
    # Until the launcher's end of the pipe is closed, which the kernel does however it ends.
    with open(pipe, encoding="ascii") as lines:
        for line in lines:
            (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        kill_group(group)
    os._exit(0)
