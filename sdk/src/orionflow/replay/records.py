"""The records of a capsule, validated field by field, as another machine wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orionflow.replay.capsule import BadCapsule, Capsule

Text = Annotated[str, Field(max_length=10_000)]
Id = Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{32,36}$")]
_DATA_ALONE = frozenset({"json", "compressed/json"})


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class RecordedState(_Record):
    """The last state of a run."""

    type: Text = ""
    name: Text | None = None
    message: str | None = None
    state_details: dict[str, Any] = {}


class RecordedResult(_Record):
    """A result: its value, the file with its bytes, or the reason why it has neither."""

    file: Text | None = None
    serializer: Text | None = None
    reference: dict[str, Any] = {}
    missing: str | None = None
    literal: Any = None
    # Nothing was stored, which may mean that the function returned None.
    may_be_none: bool = False
    # The task also changed its arguments, so the value alone cannot replace the call.
    inputs_changed: bool = False

    @property
    def is_there(self) -> bool:
        return self.missing is None

    @property
    def runs_code(self) -> bool:
        """Whether reading the result runs code that its writer put there."""
        return self.file is not None and self.serializer not in _DATA_ALONE


class RecordedRun(_Record):
    """The common fields of flow runs and task runs."""

    id: Id
    name: Text = ""
    state: RecordedState | None = None
    run_count: int = 0
    total_run_time: float = 0.0
    start_time: Text | None = None

    @property
    def type(self) -> str:
        return self.state.type if self.state else ""

    @property
    def message(self) -> str:
        return (self.state.message if self.state else None) or ""


class TaskRunRecord(RecordedRun):
    task_key: Text
    dynamic_key: Text = ""

    @property
    def function(self) -> str:
        """The name of the task's function, from the task's key."""
        return self.task_key.rpartition("-")[0] or self.task_key


class FlowRunRecord(RecordedRun):
    flow_version: Text | None = None
    parameters: dict[str, Any] = {}
    parent_task_run_id: Id | None = None


class FlowRunRecords(_Record):
    """A flow run with its task runs, in the order of their calls."""

    run: FlowRunRecord
    task_runs: list[TaskRunRecord] = []
    results: dict[str, RecordedResult] = {}


class _Flow(_Record):
    name: Text


class _Records(_Record):
    flow: _Flow
    root: Id
    flow_runs: Annotated[list[FlowRunRecords], Field(max_length=2000)]


@dataclass(frozen=True, slots=True)
class Records:
    """All flow runs of a capsule."""

    flow: str
    root: FlowRunRecords
    flow_runs: list[FlowRunRecords]

    def below(self, task_run_id: str) -> FlowRunRecords | None:
        """Return the nested flow run that a task run represents."""
        return next((one for one in self.flow_runs if one.run.parent_task_run_id == task_run_id), None)

    def task_runs(self) -> Iterator[tuple[FlowRunRecords, TaskRunRecord]]:
        """Yield the task runs of all flow runs, except those that represent a nested one."""
        stands = {one.run.parent_task_run_id for one in self.flow_runs}
        for one in self.flow_runs:
            for task in one.task_runs:
                if task.id not in stands:
                    yield one, task


def read_records(capsule: Capsule) -> Records:
    """Return the records of a capsule. Raise BadCapsule if they are not valid."""
    try:
        read = _Records.model_validate(capsule.runs)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadCapsule(f"The records of the capsule are not what they should be: {place}: {first['msg']}.") from None
    root = next((one for one in read.flow_runs if one.run.id == read.root), None)
    if root is None:
        raise BadCapsule("The capsule lacks the run that it is said to be of.")
    return Records(read.flow.name, root, read.flow_runs)
