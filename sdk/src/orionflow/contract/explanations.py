"""Views that the server derives from runs, on the wire: history in buckets, graphs, and explanations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from orionflow.contract.runs import StateOut
from orionflow.contract.states import StateType
from orionflow.contract.wire import OWN, Answer, Moment, Wire

# Seconds in a century. Longer steps would give the same single bin.
LONGEST_STEP = 100 * 366 * 86_400


class HistoryWindow(Wire):
    """The period of a history, and the length of its bins."""

    history_start: Moment
    history_end: Moment
    history_interval_seconds: Annotated[float, Field(le=LONGEST_STEP)]


class HistoryState(Answer):
    state_type: StateType
    state_name: str
    count_runs: int
    sum_estimated_run_time: float = 0.0
    sum_estimated_lateness: float = 0.0


class HistoryBucket(Answer):
    interval_start: datetime
    interval_end: datetime
    states: list[HistoryState] = []


class SimpleFlowRunOut(TypedDict):
    """A flow run as a dot in a diagram."""

    id: UUID
    state_type: StateType
    timestamp: datetime
    duration: float
    lateness: float


class TaskRunCountOut(TypedDict):
    completed: int
    failed: int


class Upstream(Answer):
    """A task run from which another one takes its input."""

    id: UUID


class TaskRunInputOf(Upstream):
    """A task run whose outcome is the input of another."""

    input_type: str = "task_run"


class Dependency(Answer):
    """One task run, and the task runs that its inputs come from."""

    id: UUID
    name: str | None = None
    upstream_dependencies: list[TaskRunInputOf] = []
    state: StateOut | None = None
    expected_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: float | None = None
    estimated_run_time: float | None = None
    untrackable_result: bool = False


class GraphArtifact(Answer):
    id: UUID
    created: datetime
    key: str | None = None
    type: str | None = None
    is_latest: bool = True


class GraphState(Answer):
    id: UUID
    timestamp: datetime
    type: StateType
    name: str


class GraphNode(Answer):
    kind: Literal["flow-run", "task-run"]
    id: UUID
    label: str
    state_type: StateType
    start_time: datetime | None = None
    end_time: datetime | None = None
    parents: list[Upstream] = []
    children: list[Upstream] = []
    artifacts: list[GraphArtifact] = []


class GraphQuestion(Wire):
    since: Moment = datetime(1, 1, 1, tzinfo=UTC)


class Graph(Answer):
    start_time: datetime | None = None
    end_time: datetime | None = None
    root_node_ids: list[UUID] = []
    nodes: list[tuple[UUID, GraphNode]] = []
    artifacts: list[GraphArtifact] = []
    states: list[GraphState] = []


class WhyReason(Answer):
    """One reason why a run does not move, and what would help."""

    code: str
    text: str
    fix: str | None = None
    since: datetime | None = None
    holders: Annotated[list[dict[str, Any]] | None, OWN] = None


class Judgement(Answer):
    rule: str
    verdict: str
    reason: str | None = None


class HistoryEntry(Answer):
    """One state of a run, with the decisions of the rules that led to it."""

    seq: int
    state_id: UUID
    type: StateType
    name: str
    timestamp: datetime
    verdict: str | None = None
    author: str | None = None
    message: str | None = None
    trail: list[Judgement] = []


class Why(Answer):
    """Why a run is in its state."""

    run_id: UUID
    kind: str
    state: StateOut | None = None
    moving: bool
    reasons: list[WhyReason] = []
    history: list[HistoryEntry] = []
    refusal: dict[str, Any] | None = None
