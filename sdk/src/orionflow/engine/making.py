"""The making of a run: an interrupt waits until it is done, as a run that nobody knows stays as it is."""

from __future__ import annotations

from typing import Any

from orionflow.engine.calls import TaskCall
from orionflow.engine.effects import Do


class Make(Do):
    """Work that makes something and puts it into a list, whether or not anybody is left to be given it."""

    __slots__ = ("made",)

    def __init__(self, made: list[Any], work: Any, *args: Any) -> None:
        super().__init__(work, *args)
        self.made = made

    def block(self) -> Any:
        self.made.append(super().block())
        return self.made[-1]


def report_creation(call: TaskCall) -> None:
    """Report that a task run is there, and remember it: whatever comes from now on must report how it ended."""
    call.flow_run.api.reporter.stream(call.creation())
    call.is_created = True
