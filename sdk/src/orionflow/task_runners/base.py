"""The interface of task runners that the engine uses."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self


class TaskRunner(abc.ABC):
    """Runs submitted task runs. To write your own, implement `submit`:

        class Later(TaskRunner):
            def start(self): self.pool = SomePool()
            def stop(self, *, wait): self.pool.close()
            def submit(self, work): self.pool.add(work)

    `work` takes and returns nothing and raises nothing: it is one task run with all its steps. Call it once, in this
    process, in any thread; its inputs are available. To run only the user's function elsewhere, such as in another
    process, implement `call` as well.

    The runner object belongs to the declaration of the flow; each flow run works with a fresh `duplicate()`.
    """

    is_sequential = False
    """Whether submitting blocks until the run has ended."""

    @abc.abstractmethod
    def submit(self, work: Callable[[], None]) -> None:
        """Arrange that `work` is called, now or soon."""

    def start(self) -> None:
        """Start the runner. Called when a flow run submits its first task."""
        return

    def stop(self, *, wait: bool = True) -> None:
        """Stop the runner. Called when the flow run ends. With `wait=False`, running work is no longer needed."""
        return

    call: Callable[[Callable[..., Any], Sequence[Any], Mapping[str, Any], float | None], Any] | None = None
    """`call(fn, args, kwargs, timeout_seconds)` returns the value of the user's function; None: `work` calls it."""

    def duplicate(self) -> Self:
        """Return a runner with the same options that has not started."""
        return type(self)()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


Work = Callable[[], None]


class SequentialTaskRunner(TaskRunner):
    """Run one task run after another, in the flow's thread: `submit()` returns when the run has ended.

    Use it for debugging, and for tasks that must not overlap.
    """

    is_sequential = True

    def submit(self, work: Work) -> None:
        work()
