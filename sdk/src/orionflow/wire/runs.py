"""Runs as programs get them: the contract's models, with states whose values can be read."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Self

from orionflow.contract import runs as contract
from orionflow.contract.runs import Flow as Flow
from orionflow.wire.answer import AnyState


class Run(contract.Run):
    """The common fields of flow runs and task runs."""

    state: AnyState = None  # type: ignore[assignment]


class FlowRun(Run, contract.FlowRun):
    """One flow run."""

    if TYPE_CHECKING:

        def __await__(self) -> Generator[Any, Any, Self]:
            """Make the type fit both cases: calls are awaited in coroutines, and not elsewhere."""


class TaskRun(Run, contract.TaskRun):
    """One task run."""


class OrchestrationResult(contract.OrchestrationResult):
    """The verdict on one proposed state, and the run's state after it."""

    state: AnyState = None  # type: ignore[assignment]

    @property
    def reason(self) -> str | None:
        return self.details.reason
