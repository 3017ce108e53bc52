"""Calls of task functions on a Ray cluster. Requires the extra `ray` of the SDK."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Self

from orionflow.errors import UsageError, WorkerCrashed
from orionflow.extras import install_command
from orionflow.task_runners.child import call_with_lines, pack, this_process, unpack_outcome
from orionflow.task_runners.child_lines import show_lines
from orionflow.task_runners.threads import USUAL_THREADS, ConcurrentTaskRunner


class RayTaskRunner(ConcurrentTaskRunner):
    """Run task functions on a Ray cluster.

    - `address`: the cluster; `"auto"` is the one on this machine. Without it, a cluster is created for each flow run,
      or for several that run in this process at the same time.
    - `init_kwargs`: arguments of `ray.init`.
    - `remote_options`: requirements of each call, such as `{"num_cpus": 2}`.
    - `max_workers`: how many calls are sent at the same time at most (default: 64, or twice the cores of the cluster).

    Functions, arguments and results must be picklable.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        init_kwargs: Mapping[str, Any] | None = None,
        remote_options: Mapping[str, Any] | None = None,
        max_workers: int | None = None,
    ) -> None:
        super().__init__(max_workers)
        self.address = address
        self.init_kwargs = dict(init_kwargs or {})
        self.remote_options = dict(remote_options or {})
        self._remote: Any = None
        # The calls on the cluster, as Ray refers to their outcomes.
        self._running: set[Any] = set()
        self.call = self._call

    def start(self) -> None:
        ray = _ray()
        usual = {"include_dashboard": False, "log_to_driver": False, "logging_level": "WARNING"}
        try:
            _connection.join(self, ray, self.address, {**usual, **self.init_kwargs})
            # The rules decide whether a call is repeated when its worker died; Ray would repeat it without saying so.
            options = {"max_retries": 0, **self.remote_options}
            self._remote = ray.remote(_call_on_worker).options(**options)
            if self.max_workers is None:
                # A thread waits here for each function on the cluster.
                self.max_workers = max(USUAL_THREADS, 2 * int(ray.cluster_resources().get("CPU", 0)))
            super().start()
        except BaseException:
            # A flow stops only runners that have started, and an interrupt may come meanwhile.
            self.stop(wait=False)
            raise

    def _call(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float | None
    ) -> Any:
        ray, remote = _ray(), self._remote
        if remote is None:
            raise UsageError("This task runner has stopped.")
        running = remote.remote(pack(fn, args, kwargs, seconds), this_process())
        self._running.add(running)
        try:
            if self._remote is None:
                # It was stopped after the call was sent.
                ray.cancel(running, force=True)
            outcome, lines = ray.get(running)
        except _deaths(ray) as error:
            raise WorkerCrashed(
                f"The Ray worker that ran the task died ({type(error).__name__}); set crash_retries to have it tried "
                "again."
            ) from error
        finally:
            self._running.discard(running)
        show_lines(lines)
        return unpack_outcome(outcome)

    def stop(self, *, wait: bool = True) -> None:
        if not wait:
            self._remote = None
            # A cluster that others use as well would execute them to their end.
            for running in list(self._running):
                _ray().cancel(running, force=True)
        super().stop(wait=wait)
        self._remote = None
        _connection.leave(self)

    def duplicate(self) -> Self:
        return type(self)(
            self.address,
            init_kwargs=self.init_kwargs,
            remote_options=self.remote_options,
            max_workers=self.max_workers,
        )

    def __repr__(self) -> str:
        return f"RayTaskRunner({self.address!r})" if self.address else "RayTaskRunner()"


class _Connection:
    """The connection of this process to Ray, which all of its flow runs share. The last one ends it if one began it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runners: set[RayTaskRunner] = set()
        self._is_ours = False

    def join(self, runner: RayTaskRunner, ray: Any, address: str | None, options: Mapping[str, Any]) -> None:
        with self._lock:
            self._runners.add(runner)
            if not ray.is_initialized():
                # Noted before, as an interrupt may come when Ray has started its processes.
                self._is_ours = True
                ray.init(address, **options)

    def leave(self, runner: RayTaskRunner) -> None:
        with self._lock:
            self._runners.discard(runner)
            if self._is_ours and not self._runners:
                self._is_ours = False
                _ray().shutdown()


_connection = _Connection()


def _forget_in_child() -> None:
    # The connection belongs to the parent, and a thread of it may have held the lock.
    global _connection
    _connection = _Connection()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


def _call_on_worker(payload: bytes, flow_process: tuple[int, str | None]) -> tuple[bytes, list[logging.LogRecord]]:
    if this_process() == flow_process:
        raise UsageError("Workers of RayTaskRunner are processes of their own; leave out local_mode=True.")
    return call_with_lines(payload)


def _deaths(ray: Any) -> tuple[type[Exception], ...]:
    """Return the exceptions of Ray that mean the end of a worker."""
    errors = ray.exceptions
    return errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError:
        raise UsageError(f"RayTaskRunner needs Ray; install it with `{install_command('ray')}`.") from None
