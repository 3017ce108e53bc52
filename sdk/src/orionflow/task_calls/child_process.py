"""A process that calls task functions, one after another, until it is stopped or dies."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from typing import Any

from orionflow.errors import WorkerCrashed


class ChildProcess:
    """A child of this process, started when it is first used, and again after it died."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Any = None

    def call(self, payload: bytes) -> bytes:
        """Return the pickled outcome and lines. Raise WorkerCrashed with the exit code or signal if the child dies."""
        if self._process is None or not self._process.is_alive():
            self._start()
        try:
            self._pipe.send_bytes(payload)
            outcome: bytes = self._pipe.recv_bytes()
        except (EOFError, OSError):
            self._process.join()
            raise WorkerCrashed(f"The process of the task {how_it_ended(self._process.exitcode)}.") from None
        return outcome

    def _start(self) -> None:
        # Not forked: the worker has threads, whose locks a fork would copy as they are.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="orion-task-child", daemon=True)
        self._process.start()
        # With this end open, reading would not fail when the child dies.
        theirs.close()

    def kill(self) -> None:
        """Kill the child, whatever it does; a call that waits for it gets WorkerCrashed."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()

    def close(self) -> None:
        self.kill()
        if self._process is not None:
            self._process.join(timeout=5)


def how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _serve(pipe: Any) -> None:
    from orionflow.agent.launching import withhold_from_this_process
    from orionflow.task_runners.child import call_with_lines

    withhold_from_this_process()
    # Ctrl-C is for the worker, which ends its children when it has drained.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    while True:
        try:
            payload = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send_bytes(pickle.dumps(call_with_lines(payload)))


def _end_with_parent(parent: int) -> None:
    """End this process when its worker was killed, as the flow of its task has given the worker up."""
    while os.getppid() == parent:
        time.sleep(0.5)
    # `sys.exit` would end only this thread.
    os._exit(1)
