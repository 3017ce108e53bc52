"""Calls of task functions on a Ray cluster. Requires the extra `ray` of the SDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Self

from orionflow.errors import UsageError, WorkerCrashed
from orionflow.extras import install_command
from orionflow.task_runners.child import call_with_lines, pack, show_lines, unpack_outcome
from orionflow.task_runners.threads import ConcurrentTaskRunner


class RayTaskRunner(ConcurrentTaskRunner):
    """Run task functions on a Ray cluster.

    - `address`: the cluster; `"auto"` is the one on this machine. Without it, a cluster is created for each flow run.
    - `init_kwargs`: arguments of `ray.init`.
    - `remote_options`: requirements of each call, such as `{"num_cpus": 2}`.
    - `max_workers`: how many calls are sent at the same time at most.

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
        self._is_own = False
        self.call = self._call

    def start(self) -> None:
        ray = _ray()
        if not ray.is_initialized():
            usual = {"include_dashboard": False, "log_to_driver": False, "logging_level": "WARNING"}
            ray.init(self.address, **{**usual, **self.init_kwargs})
            self._is_own = True
        # The rules decide whether a call is repeated when its worker died; Ray would repeat it without saying so.
        options = {"max_retries": 0, **self.remote_options}
        self._remote = ray.remote(call_with_lines).options(**options)
        super().start()

    def _call(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float | None
    ) -> Any:
        ray = _ray()
        try:
            outcome, lines = ray.get(self._remote.remote(pack(fn, args, kwargs, seconds)))
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            raise WorkerCrashed(
                f"The Ray worker that ran the task died ({type(error).__name__}); set crash_retries to have it tried "
                "again."
            ) from error
        show_lines(lines)
        return unpack_outcome(outcome)

    def stop(self, *, wait: bool = True) -> None:
        super().stop(wait=wait)
        if self._is_own:
            _ray().shutdown()
            self._is_own = False
        self._remote = None

    def duplicate(self) -> Self:
        return type(self)(
            self.address,
            init_kwargs=self.init_kwargs,
            remote_options=self.remote_options,
            max_workers=self.max_workers,
        )

    def __repr__(self) -> str:
        return f"RayTaskRunner({self.address!r})" if self.address else "RayTaskRunner()"


def _ray() -> Any:
    try:
        return import_module("ray")
    except ImportError:
        raise UsageError(f"RayTaskRunner needs Ray; install it with `{install_command('ray')}`.") from None
