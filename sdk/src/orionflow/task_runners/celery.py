"""Calls of task functions on task workers, through a broker. Requires the extra `agent` of the SDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from orionflow.errors import UsageError
from orionflow.settings import current_settings
from orionflow.task_runners.child import pack, unpack_outcome
from orionflow.task_runners.child_lines import show_lines
from orionflow.task_runners.threads import ConcurrentTaskRunner


class CeleryTaskRunner(ConcurrentTaskRunner):
    """Run task functions on task workers: `orion task-worker start -q QUEUE`, on any machine that reaches the broker.

    - `queue`: the queue of the workers (default: `"default"`).
    - `max_workers`: how many calls are sent at the same time at most; the workers decide how many run.
    - `broker`: the address of the broker (default: ORION_BROKER_URL).

    Functions, arguments and results must be picklable, and the workers need the packages that the functions import.
    States, retries, caching and results stay in the process of the flow.

    Raises `UsageError`, when the first task is submitted, if no broker is set.
    """

    def __init__(self, queue: str = "default", *, max_workers: int | None = None, broker: str | None = None) -> None:
        super().__init__(max_workers)
        self.queue = queue
        self.broker = broker
        self._caller: Any = None
        self.call = self._call

    def start(self) -> None:
        from orionflow.agent.broker import celery_app
        from orionflow.task_calls.caller import Caller
        from orionflow.task_calls.seal import task_key

        url = self.broker or current_settings().broker_url
        if url is None:
            raise UsageError(
                "CeleryTaskRunner needs a broker: set ORION_BROKER_URL, for instance to redis://127.0.0.1:6379/0."
            )
        self._caller = Caller(celery_app("orion-flow", url), self.queue, task_key())
        self._caller.open()
        super().start()

    def _call(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], seconds: float | None
    ) -> Any:
        outcome, lines = self._caller.call(pack(fn, args, kwargs, seconds))
        show_lines(lines)
        return unpack_outcome(outcome)

    def stop(self, *, wait: bool = True) -> None:
        if not wait and self._caller is not None:
            # Before the threads: they wait for outcomes, which this ends. With `wait`, they still need the caller.
            self._caller.close()
        super().stop(wait=wait)
        if wait and self._caller is not None:
            self._caller.close()
        self._caller = None

    def duplicate(self) -> Self:
        return type(self)(self.queue, max_workers=self.max_workers, broker=self.broker)

    def __repr__(self) -> str:
        return f"CeleryTaskRunner({self.queue!r})"
