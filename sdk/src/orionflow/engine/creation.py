"""The creation of a run, which is never interrupted: a run that is created and then forgotten would never end.

`interruption` finds this module by its name among the frames of a thread, and waits while one of them is in here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orionflow.engine.effects import Do
from orionflow.engine.run_calls import TaskCall


class Create(Do):
    """Create a run at the API, and append it to a list of runs that must be ended.

    The answer is appended even if an interrupt ends the caller, as a run that is forgotten would never end.
    """

    __slots__ = ("created",)

    def __init__(self, created: list[Any], work: Callable[..., Any], *args: Any) -> None:
        super().__init__(work, *args)
        self.created = created

    def block(self) -> Any:
        self.created.append(super().block())
        return self.created[-1]


def report_creation(call: TaskCall) -> None:
    """Report that a task run exists, and remember it: from now on its end must be reported, whatever interrupts it."""
    call.flow_run.api.reporter.stream(call.creation())
    call.is_created = True
