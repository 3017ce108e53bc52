"""Concurrent task runs, in threads."""

from __future__ import annotations

from typing import Self

from orionflow.settings import current_settings
from orionflow.task_runners.base import TaskRunner, Work
from orionflow.task_runners.daemon_pool import DaemonPool

# Tasks mostly wait; threads are only started as needed.
USUAL_THREADS = 64


class ConcurrentTaskRunner(TaskRunner):
    """Run task runs at the same time in threads, and async tasks on the flow's event loop. The default.

    - `max_workers`: the largest number of threads (default: ORION_TASK_RUNNER_THREADS, or 64). Async tasks are not
      counted.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = max_workers
        self._pool: DaemonPool | None = None

    def start(self) -> None:
        workers = self.max_workers or current_settings().task_runner_threads or USUAL_THREADS
        self._pool = DaemonPool(workers, "orion-task")

    def submit(self, work: Work) -> None:
        assert self._pool is not None
        self._pool.submit(work)

    def stop(self, *, wait: bool = True) -> None:
        if self._pool is not None:
            self._pool.close(wait=wait)
            self._pool = None

    def duplicate(self) -> Self:
        return type(self)(self.max_workers)

    def __repr__(self) -> str:
        return f"ConcurrentTaskRunner(max_workers={self.max_workers})" if self.max_workers else "ConcurrentTaskRunner()"
