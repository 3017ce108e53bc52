"""`orion server start --workers N`: the parent of the processes that answer on one socket, and of that with services.

It answers no requests itself. It restarts processes that died, and stops all of them in order.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from orion_site.accounts.local_token import share_with_others, token_of_this_start
from orion_site.http.options import ServerOptions
from orion_site.http.running_servers import Part, ServerFile
from orion_site.http.worker import SERVICES, Orders, label_of, name_of
from orion_site.metrics.figure_files import forget
from orion_site.services.kept_process import KeptProcess
from orion_site.shared_rows import MOST_WORKERS, Sheet

if TYPE_CHECKING:
    from orion_site.services.own_agent import OwnAgent

MOST = MOST_WORKERS - 1
RESTART_SECONDS = 0.1
# Seconds for processes to stop: enough for a worker's requests (10 s) and threads (5 s and more); after a second
# signal, less.
END_SECONDS, HURRIED_SECONDS = 30.0, 1.0


class Workers:
    """The processes of one server."""

    def __init__(self, listener: socket.socket, options: ServerOptions, file: ServerFile) -> None:
        self._listener, self._options, self._file = listener, options, file
        self._sheet = Sheet()
        share_with_others(token_of_this_start(), self._sheet)
        self._up: set[int] = set()
        self._all_up = threading.Condition()
        self._over = threading.Event()
        # The time at which all processes must have stopped, after they were asked to.
        self._until = float("inf")
        first = SERVICES if options.services else SERVICES + 1
        self.processes = {number: self._kept(number) for number in range(first, options.workers + 1)}

    def run(self, agent: OwnAgent | None, on_ready: Callable[[], None]) -> bool:
        """Serve until SIGINT or SIGTERM. Return False if a process had to be killed."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._asked_to_end(agent))
        # In a container, an earlier server with the same home usually had the same process id.
        forget(os.getpid())
        for process in self.processes.values():
            process.start()
        if self._are_up():
            on_ready()
            if agent:
                agent.start()
        self._over.wait()
        if agent:
            # The workers still answer the agent's requests.
            agent.stop()
        return self._end()

    def _asked_to_end(self, agent: OwnAgent | None) -> None:
        if not self._over.is_set():
            self._over.set()
            return
        self._until = min(self._until, time.monotonic() + HURRIED_SECONDS)
        if agent:
            agent.hurry()

    def _are_up(self) -> bool:
        """Wait until each process is ready. Return False if the server is asked to stop before."""
        with self._all_up:
            while len(self._up) < len(self.processes) and not self._over.is_set():
                self._all_up.wait(0.2)
        return not self._over.is_set()

    def _end(self) -> bool:
        for process in self.processes.values():
            process.let_end()
        # Refuse connections from now on, rather than let them wait while the last workers stop.
        self._listener.close()
        for process in self.processes.values():
            process.send(signal.SIGTERM)
        self._until = min(time.monotonic() + END_SECONDS, max(self._until, time.monotonic() + HURRIED_SECONDS))
        # A list, because each process must be waited for, even after one that was killed.
        ended = [self._has_ended(process) for process in self.processes.values()]
        return all(ended)

    def _has_ended(self, process: KeptProcess) -> bool:
        while not process.has_ended(0.1):
            if time.monotonic() > self._until:
                process.send(signal.SIGKILL)
                process.has_ended(HURRIED_SECONDS)
                return False
        return True

    def _kept(self, number: int) -> KeptProcess:
        orders = Orders(
            number=number,
            listener=self._listener.fileno(),
            sheet=self._sheet.descriptor,
            token=token_of_this_start(),
            base_path=self._options.base_path,
        )
        return KeptProcess(
            name_of(number),
            [sys.executable, "-P", "-m", "orion_site.http.worker"],
            environment=dict(os.environ),  # nosemgrep: whole-environment-for-a-process (the server itself)
            shortest_pause=RESTART_SECONDS,
            message=orders.as_line(),
            descriptors=(self._listener.fileno(), self._sheet.descriptor),
            on_line=partial(self._is_up, number),
            on_end=partial(self._has_gone, number),
        )

    def _is_up(self, number: int) -> None:
        with self._all_up:
            self._up.add(number)
            self._all_up.notify_all()
            self._write()

    def _has_gone(self, number: int) -> None:
        self._sheet.note_connections(number, -1)
        forget(os.getpid(), label_of(name_of(number)))
        with self._all_up:
            self._write()

    def _write(self) -> None:
        self._file.write([Part(one.name, one.pid, one.starts) for one in self.processes.values()])
