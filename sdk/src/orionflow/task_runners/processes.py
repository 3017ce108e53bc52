"""Functions of tasks in processes of their own; everything else about their runs stays in the process of the flow."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

from orionflow.errors import UsageError, WorkerCrashed
from orionflow.task_runners.child import LogShipping, call_in_child, pack, unpack_outcome
from orionflow.task_runners.threads import ConcurrentTaskRunner

# No runner has one of its own, as flows travel with theirs.
_mutex = threading.Lock()


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
        # Pools of one process each: where one dies, the tasks in others go on.
        self._pools: set[ProcessPoolExecutor] = set()
        self._idle: list[ProcessPoolExecutor] = []
        self._logs: LogShipping | None = None
        self.call = self._call

    def start(self) -> None:
        super().start()
        self._logs = LogShipping(multiprocessing.get_context(self.start_method))

    def _take(self) -> ProcessPoolExecutor:
        """The pool that worked last, or a new one: there are no more of them than threads that ask."""
        with _mutex:
            if self._logs is None:
                raise UsageError("This task runner has stopped.")
            if self._idle:
                return self._idle.pop()
            context = multiprocessing.get_context(self.start_method)
            pool = ProcessPoolExecutor(1, context, **self._logs.initializer())
            self._pools.add(pool)
            return pool

    def _call(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float | None
    ) -> Any:
        payload = pack(fn, args, kwargs, seconds)
        pool = self._take()
        try:
            running: Future[bytes] = pool.submit(call_in_child, payload)
            outcome = running.result()
        except BrokenProcessPool as error:
            with _mutex:
                self._pools.discard(pool)
            pool.shutdown(wait=False)
            raise WorkerCrashed(
                "The process that ran the task died (memory, a signal, os._exit, or a script that calls its flow "
                'without `if __name__ == "__main__":`). A task with crash_retries is tried again after that.'
            ) from error
        # Not after an interruption: the function may still work there.
        with _mutex:
            self._idle.append(pool)
        return unpack_outcome(outcome)

    def stop(self, *, wait: bool = True) -> None:
        with _mutex:
            pools, logs = list(self._pools), self._logs
            self._pools, self._idle, self._logs = set(), [], None
        for pool in pools:
            if not wait:
                _end_children(pool)
        for pool in pools:
            pool.shutdown(wait=wait, cancel_futures=not wait)
        super().stop(wait=wait)
        if logs is not None:
            logs.close()

    def duplicate(self) -> Self:
        return type(self)(self.max_workers, self.start_method)

    def __repr__(self) -> str:
        return f"ProcessTaskRunner(max_workers={self.max_workers})"


def _end_children(pool: ProcessPoolExecutor) -> None:
    """Python would wait for them before it exits, and nobody wants what they work on any more."""
    for child in list((pool._processes or {}).values()):
        child.terminate()
