"""Calls of task functions in separate processes; all other steps of their runs stay in the process of the flow."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import connection
from typing import Any, Self

from orionflow.engine.withdrawals import is_withdrawn
from orionflow.errors import UsageError, WorkerCrashed
from orionflow.task_runners.child import LogShipping, call_in_child, pack, unpack_outcome
from orionflow.task_runners.threads import ConcurrentTaskRunner

# Held to take a process or give one back; notified when one may be available. It is global because flows are pickled
# with their runners. It also makes all runners start processes one after another: a forked process would keep open the
# pipe that shows the end of another one forked at the same time.
_changes = threading.Condition()


def _forget_in_child() -> None:
    # The waiting threads belong to the parent, and one of them held the lock during the fork.
    global _changes
    _changes = threading.Condition()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


class ProcessTaskRunner(ConcurrentTaskRunner):
    """Run task functions in processes of their own, for work that keeps a core busy.

    - `max_workers`: the largest number of processes (default: the number of cores).
    - `start_method`: how they start: `"spawn"` (default), `"forkserver"` or `"fork"`.

    Functions, arguments and results must be picklable. The script must call its flow under `if __name__ ==
    "__main__":`, as always with Python's multiprocessing. Functions know their run as in threads, however their process
    has started.
    """

    def __init__(self, max_workers: int | None = None, start_method: str = "spawn") -> None:
        self._most = max_workers or os.cpu_count() or 1
        super().__init__(self._most)
        self.start_method = start_method
        # Pools with one process each: if one dies, tasks in the others continue.
        self._busy: dict[ProcessPoolExecutor, Future[bytes]] = {}
        self._idle: list[ProcessPoolExecutor] = []
        self._logs: LogShipping | None = None
        self.call = self._call

    def start(self) -> None:
        super().start()
        self._logs = LogShipping()

    def _begin(self, payload: bytes) -> tuple[ProcessPoolExecutor, Future[bytes]]:
        """Start a call in the process that worked last, in a new one, or in the first that becomes free."""
        with _changes:
            while True:
                if self._logs is None:
                    raise UsageError("This task runner has stopped.")
                if is_withdrawn():
                    # The run has ended: its function must not begin now that a process is free.
                    raise CancelledError
                begun = self._begin_in_idle(payload) or self._begin_in_new(payload, self._logs)
                if begun is not None:
                    break
                _changes.wait()
            pool, running = begun
            self._busy[pool] = running
            # Also if the waiting thread is interrupted, as the function may continue.
            running.add_done_callback(lambda _: self._give_back(pool, running))
            return begun

    def _begin_in_idle(self, payload: bytes) -> tuple[ProcessPoolExecutor, Future[bytes]] | None:
        while self._idle:
            pool = self._idle.pop()
            with suppress(BrokenProcessPool):
                if _is_alive(pool):
                    return pool, pool.submit(call_in_child, payload)
            # The process died between two calls, which does not affect this call.
            pool.shutdown(wait=False)
        return None

    def _begin_in_new(self, payload: bytes, logs: LogShipping) -> tuple[ProcessPoolExecutor, Future[bytes]] | None:
        """Start a call in a new process; return None if the largest number of processes is reached."""
        if len(self._busy) >= self._most:
            return None
        pool = None
        try:
            pool = ProcessPoolExecutor(1, multiprocessing.get_context(self.start_method), **logs.initializer())
            return pool, pool.submit(call_in_child, payload)
        except OSError:
            if pool is not None:
                pool.shutdown(wait=False)
            # For example, too many files are open: the existing processes have to suffice.
            if not self._busy:
                raise
            return None

    def _give_back(self, pool: ProcessPoolExecutor, done: Future[bytes]) -> None:
        with _changes:
            # Done once for each call, as another call may use the process by now.
            if self._busy.get(pool) is done:
                del self._busy[pool]
                self._idle.append(pool)
                _changes.notify_all()

    def _call(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float | None
    ) -> Any:
        pool, running = self._begin(pack(fn, args, kwargs, seconds))
        try:
            outcome = running.result()
        except BrokenProcessPool as error:
            raise WorkerCrashed(
                "The process that ran the task died (memory, a signal, os._exit, or a script that calls its flow "
                'without `if __name__ == "__main__":`). A task with crash_retries is tried again after that.'
            ) from error
        # The callback may run later than the next call.
        self._give_back(pool, running)
        return unpack_outcome(outcome)

    def stop(self, *, wait: bool = True) -> None:
        with _changes:
            pools, logs = [*self._busy, *self._idle], self._logs
            self._busy, self._idle, self._logs = {}, [], None
            _changes.notify_all()
        if not wait:
            for pool in pools:
                _end_children(pool)
        # All children end at the same time: during an outage of the API, each waits for it.
        ending: list[Any] = [pool._executor_manager_thread for pool in pools]
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=not wait)
        if wait:
            for thread in ending:
                if thread is not None:
                    thread.join()
        super().stop(wait=wait)
        if logs is not None:
            logs.close()

    def duplicate(self) -> Self:
        return type(self)(self.max_workers, self.start_method)

    def __repr__(self) -> str:
        return f"ProcessTaskRunner(max_workers={self.max_workers})"


def _end_children(pool: ProcessPoolExecutor) -> None:
    """Terminate the children: Python would wait for them at exit, although their work is no longer needed."""
    for child in list((pool._processes or {}).values()):
        child.terminate()


def _is_alive(pool: ProcessPoolExecutor) -> bool:
    """Whether none of the pool's processes has ended; the pool itself notices that a moment later."""
    return not connection.wait([child.sentinel for child in list((pool._processes or {}).values())], 0)
