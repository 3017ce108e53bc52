"""The creation of a run, which no interrupt cuts: a run that is created and that nobody knows of never ends.

`interruption` finds this module by its name among the frames of a thread, and waits while one of them is in here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orionflow.engine.effects import Do
from orionflow.engine.run_calls import TaskCall


class Create(Do):
    """Create something at the API, and put it into a list of those that somebody must end.

    The answer gets there even if an interrupt leaves nobody to be given it: a run that nobody knows of never ends.
    """

    __slots__ = ("created",)

    def __init__(self, created: list[Any], work: Callable[..., Any], *args: Any) -> None:
        super().__init__(work, *args)
        self.created = created

    def block(self) -> Any:
        self.created.append(super().block())
        return self.created[-1]


def report_creation(call: TaskCall) -> None:
    """Report that a task run exists, and remember it: whatever comes from now on must report how it ended."""
    call.flow_run.api.reporter.stream(call.creation())
    call.is_created = True
