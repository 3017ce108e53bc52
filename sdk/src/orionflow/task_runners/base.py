"""The interface of task runners that the engine uses."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self


class TaskRunner(abc.ABC):
    """Runs what is submitted to it. Write your own by saying where work is called:

        class Later(TaskRunner):
            def start(self): self.pool = SomePool()
            def stop(self, *, wait): self.pool.close()
            def submit(self, work): self.pool.add(work)

    `work` takes nothing and returns nothing: it is one task run with all its steps, in which nothing is raised. It must
    be called once, in this process, in any thread; the engine has waited for its inputs already. To have only the
    user's function called elsewhere, in another process say, give `call` as well.

    A runner object belongs to a flow's declaration; each run of the flow works with a fresh `duplicate()`.
    """

    is_sequential = False
    """Whether submitting means waiting for the end."""

    @abc.abstractmethod
    def submit(self, work: Callable[[], None]) -> None:
        """Have `work` called, now or soon."""

    def start(self) -> None:
        """Called when a flow run submits its first task."""
        return

    def stop(self, *, wait: bool = True) -> None:
        """Called when the flow run ends; with `wait=False` it ends early and nobody needs what still runs."""
        return

    call: Callable[[Callable[..., Any], Sequence[Any], Mapping[str, Any], float | None], Any] | None = None
    """`call(fn, args, kwargs, timeout_seconds)` returns what the user's function does; None: it is called in `work`."""

    def duplicate(self) -> Self:
        """A runner with the same options that has not started."""
        return type(self)()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


Work = Callable[[], None]


class SequentialTaskRunner(TaskRunner):
    """One task run after another, in the thread of the flow: `submit()` returns when the run has ended.

    For debugging, and for what must not overlap.
    """

    is_sequential = True

    def submit(self, work: Work) -> None:
        work()
