"""Task runs at the same time, in threads."""

from __future__ import annotations

from typing import Self

from orionflow.settings import current_settings
from orionflow.task_runners.base import TaskRunner, Work
from orionflow.task_runners.daemon_pool import DaemonPool

# Tasks mostly wait for something; threads are made only as they are needed.
USUAL_THREADS = 64


class ConcurrentTaskRunner(TaskRunner):
    """Run up to `max_workers` task runs at once in threads, and any number of async tasks on the event loop.

    The default of `max_workers` is ORION_TASK_RUNNER_THREADS, or 64.
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
