"""Functions of tasks in processes of their own; everything else about their runs stays in the process of the flow."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

from orionflow.errors import UsageError, WorkerCrashed
from orionflow.task_runners.child import LogShipping, call_in_child, pack, unpack_outcome
from orionflow.task_runners.threads import ConcurrentTaskRunner


class ProcessTaskRunner(ConcurrentTaskRunner):
    """Run task functions in processes of their own, for work that keeps a core busy.

    - `max_workers`: how many processes there may be (default: the number of cores).
    - `start_method`: how they start: `"spawn"` (default), `"forkserver"` or `"fork"`.

    Functions, arguments and results must be picklable. The script must call its flow under `if __name__ ==
    "__main__":`, as always with Python's multiprocessing. `get_run_logger()` and `print` work as usual; other parts of
    the run's context are not available.
    """

    def __init__(self, max_workers: int | None = None, start_method: str = "spawn") -> None:
        super().__init__(max_workers or os.cpu_count() or 1)
        self.start_method = start_method
        self._processes: ProcessPoolExecutor | None = None
        self._logs: LogShipping | None = None
        self.call = self._call

    def start(self) -> None:
        super().start()
        context = multiprocessing.get_context(self.start_method)
        self._logs = LogShipping(context)
        self._processes = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        assert self._logs is not None
        context = multiprocessing.get_context(self.start_method)
        return ProcessPoolExecutor(self.max_workers, context, **self._logs.initializer())

    def _call(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float | None
    ) -> Any:
        payload = pack(fn, args, kwargs, seconds)
        pool = self._processes
        if pool is None:
            raise UsageError("This task runner has stopped.")
        try:
            running: Future[bytes] = pool.submit(call_in_child, payload)
            outcome = running.result()
        except BrokenProcessPool as error:
            self._replace(pool)
            raise WorkerCrashed(
                "The process that ran the task died (memory, a signal, os._exit, or a script that calls its flow "
                'without `if __name__ == "__main__":`); set crash_retries to have it tried again.'
            ) from error
        return unpack_outcome(outcome)

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        # All tasks of a broken pool learn of it; the first to come makes the new one.
        if self._processes is broken:
            self._processes = self._new_pool()
            broken.shutdown(wait=False)

    def stop(self, *, wait: bool = True) -> None:
        pool, self._processes = self._processes, None
        if pool is not None:
            if not wait:
                _end_children(pool)
            pool.shutdown(wait=wait, cancel_futures=not wait)
        super().stop(wait=wait)
        if self._logs is not None:
            self._logs.close()
            self._logs = None

    def duplicate(self) -> Self:
        return type(self)(self.max_workers, self.start_method)

    def __repr__(self) -> str:
        return f"ProcessTaskRunner(max_workers={self.max_workers})"


def _end_children(pool: ProcessPoolExecutor) -> None:
    """Python would wait for them before it exits, and nobody wants what they work on any more."""
    for child in list((pool._processes or {}).values()):
        child.terminate()
