"""Calls of task functions on a Dask cluster, of machines or local cores. Requires the extra `dask` of the SDK."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Self
from uuid import uuid4

from orionflow.errors import UsageError, WorkerCrashed
from orionflow.extras import install_command
from orionflow.task_runners.child import call_with_lines, pack, this_process, unpack_outcome
from orionflow.task_runners.child_lines import show_lines
from orionflow.task_runners.threads import USUAL_THREADS, ConcurrentTaskRunner

Options = Mapping[str, Any]


class DaskTaskRunner(ConcurrentTaskRunner):
    """Run task functions on a Dask cluster.

    - `address`: the scheduler of an existing cluster. `cluster`: a cluster object. With neither, a cluster is created
      for each flow run.
    - `cluster_class`, `cluster_kwargs`: the class of a new cluster, or its name with module, and arguments (default:
      a `LocalCluster` with a process for each core). `adapt_kwargs`: let it grow and shrink, such as `{"maximum": 10}`.
    - `client_kwargs`: arguments of Dask's `Client`.

    Functions, arguments and results must be picklable, and scripts must call their flows under `if __name__ ==
    "__main__":`.

    Raises `UsageError` if both an address and a cluster are named, and, when the first task is submitted, if no
    scheduler answers or the package `distributed` is missing.
    """

    def __init__(
        self,
        cluster: Any = None,
        *,
        address: str | None = None,
        cluster_class: str | Callable[..., Any] | None = None,
        cluster_kwargs: Options | None = None,
        adapt_kwargs: Options | None = None,
        client_kwargs: Options | None = None,
    ) -> None:
        super().__init__()
        if address and (cluster is not None or cluster_class or cluster_kwargs or adapt_kwargs):
            raise UsageError("DaskTaskRunner takes the address of a cluster or what to make one of, not both.")
        self._options: dict[str, Any] = {
            "cluster": cluster,
            "address": address,
            "cluster_class": cluster_class,
            "cluster_kwargs": cluster_kwargs,
            "adapt_kwargs": adapt_kwargs,
            "client_kwargs": client_kwargs,
        }
        self._own_cluster: Any = None
        self._client: Any = None
        self.call = self._call

    def start(self) -> None:
        distributed = _distributed()
        target = self._options["address"] or self._options["cluster"]
        try:
            self._connect(distributed, self._new_cluster(distributed) if target is None else target)
            super().start()
        except BaseException:
            # A flow stops only runners that have started, and an interrupt may come meanwhile.
            self.stop(wait=False)
            raise

    def _new_cluster(self, distributed: Any) -> Any:
        options = self._options
        chosen = options["cluster_class"] or distributed.LocalCluster
        if isinstance(chosen, str):
            module, _, name = chosen.rpartition(".")
            chosen = getattr(import_module(module), name)
        usual = {"threads_per_worker": 1, "dashboard_address": None} if chosen is distributed.LocalCluster else {}
        self._own_cluster = chosen(**{**usual, **(options["cluster_kwargs"] or {})})
        if options["adapt_kwargs"]:
            self._own_cluster.adapt(**options["adapt_kwargs"])
        return self._own_cluster

    def _connect(self, distributed: Any, target: Any) -> None:
        try:
            self._client = distributed.Client(target, **(self._options["client_kwargs"] or {}))
            # A thread waits here for each function on the cluster.
            self.max_workers = max(USUAL_THREADS, 2 * sum(self._client.ncores().values()))
        except OSError as error:
            raise UsageError(
                f"No Dask scheduler answers at {target} ({error}); start one there with `dask scheduler`, "
                "or correct the address of DaskTaskRunner."
            ) from error

    def _call(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float | None
    ) -> Any:
        payload = pack(fn, args, kwargs, seconds)
        killed = import_module("distributed").KilledWorker
        running = self._client.submit(_call_on_worker, payload, this_process(), f"orion-{uuid4()}", pure=False)
        try:
            outcome, lines = running.result()
        except (killed, BegunBefore) as error:
            raise WorkerCrashed(
                "The Dask worker that ran the task died; set crash_retries to have it tried again."
            ) from error
        show_lines(lines)
        return unpack_outcome(outcome)

    def stop(self, *, wait: bool = True) -> None:
        if not wait and self._client is not None:
            self._client.cancel(list(self._client.futures))
        super().stop(wait=wait)
        for closed in (self._client, self._own_cluster):
            if closed is not None:
                closed.close()
        self._client = self._own_cluster = None

    def duplicate(self) -> Self:
        return type(self)(**self._options)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._options.items() if value is not None)
        return f"DaskTaskRunner({given})"


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError:
        raise UsageError(f"DaskTaskRunner needs Dask; install it with `{install_command('dask')}`.") from None


class BegunBefore(Exception):
    """A call whose worker died was given to another worker."""


def _call_on_worker(
    payload: bytes, flow_process: tuple[int, str | None], name: str
) -> tuple[bytes, list[logging.LogRecord]]:
    if this_process() == flow_process:
        raise UsageError("Workers of DaskTaskRunner are processes of their own; leave out processes=False.")
    # Dask repeats a call whose worker died up to three times without saying so. The rules decide whether a call is
    # repeated, so the scheduler stores that this call has started.
    begun = _distributed().Event(name)
    if begun.is_set():
        begun.clear()
        raise BegunBefore
    begun.set()
    outcome = call_with_lines(payload)
    begun.clear()
    return outcome
