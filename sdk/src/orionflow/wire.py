"""The API's answers as typed values, and states on their way to and from JSON.

Requests are plain dicts. Answers ignore fields they do not know, so that an older client understands a newer server.
Models are built at first use: a program that reads no artifacts does not pay for their validators.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticSerializationError, to_json

from orionflow.errors import UnserializableError
from orionflow.states import State, StateDetails, StateType

_MOMENTS = ("scheduled_time", "cache_expiration", "pause_timeout")
_IDS = ("flow_run_id", "task_run_id", "child_flow_run_id", "transition_id", "task_parameters_id")


def encode(body: object) -> bytes:
    """The JSON of a request; says in one sentence what cannot be sent."""
    try:
        return to_json(body)
    except PydanticSerializationError as error:
        raise UnserializableError(f"A value cannot be sent to the API as JSON: {error}.") from None


def state_to_wire(state: State[Any]) -> dict[str, Any]:
    """What the API wants to know of a state; unset fields stay away."""
    wire: dict[str, Any] = {"type": state.type, "name": state.name}
    if state.message is not None:
        wire["message"] = clean_text(state.message)
    if state.data is not None:
        wire["data"] = state.data
    if details := details_to_wire(state.state_details):
        wire["state_details"] = details
    if state.timestamp is not None:
        wire["timestamp"] = state.timestamp
    if state.id is not None:
        wire["id"] = state.id
    return wire


def clean_text(text: str, longest: int | None = None) -> str:
    """Text that every database takes: no NUL, no lone surrogates, and at most so many bytes."""
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    raw = text.encode("utf-8", "replace")
    if longest is None or len(raw) <= longest:
        return raw.decode()
    return raw[:longest].decode("utf-8", "ignore") + f"… ({len(raw) - longest} bytes were cut off here)"


def details_to_wire(details: StateDetails | None) -> dict[str, Any]:
    if details is None:
        return {}
    values = ((name, getattr(details, name)) for name in StateDetails.__slots__)
    # Only of `retriable` does False say more than nothing.
    return {name: value for name, value in values if value is not None and (value is not False or name == "retriable")}


def state_from_wire(wire: dict[str, Any]) -> State[Any]:
    """The state of an answer. By hand, as it is read for every run and needs no validator."""
    return State(
        type=StateType(wire["type"]),
        name=wire.get("name") or str(wire["type"]).title(),
        message=wire.get("message"),
        data=wire.get("data"),
        state_details=details_from_wire(wire.get("state_details") or {}),
        timestamp=_moment(wire.get("timestamp")),
        id=_uuid(wire.get("id")),
    )


def details_from_wire(wire: dict[str, Any]) -> StateDetails:
    known = {name: wire[name] for name in StateDetails.__slots__ if wire.get(name) is not None}
    known |= {name: _moment(known[name]) for name in _MOMENTS if name in known}
    known |= {name: _uuid(known[name]) for name in _IDS if name in known}
    return StateDetails(**known)


def _moment(value: str | datetime | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _uuid(value: str | UUID | None) -> UUID | None:
    return UUID(value) if isinstance(value, str) else value


def _state_or_none(value: State[Any] | dict[str, Any] | None) -> State[Any] | None:
    return state_from_wire(value) if isinstance(value, dict) else value


def _wire_or_none(state: State[Any] | None) -> dict[str, Any] | None:
    return None if state is None else state_to_wire(state)


StateList = list[Annotated[State[Any], PlainValidator(state_from_wire)]]
AnyState = Annotated[State[Any] | None, PlainValidator(_state_or_none), PlainSerializer(_wire_or_none)]
Details = Annotated[dict[str, Any], BeforeValidator(lambda value: value or {})]
Names = Annotated[list[str], BeforeValidator(lambda value: value or [])]


class Answer(BaseModel):
    """What all answers share: unknown fields are ignored and nothing is written into them."""

    model_config = ConfigDict(frozen=True, defer_build=True, extra="ignore", protected_namespaces=())


class Stored(Answer):
    """A row with an id and its times."""

    id: UUID
    created: datetime | None = None
    updated: datetime | None = None


class Flow(Stored):
    name: str
    tags: Names = []


class Run(Stored):
    """What flow runs and task runs have in common."""

    name: str | None = None
    tags: Names = []
    empirical_policy: Details = {}
    state_id: UUID | None = None
    state_type: StateType | None = None
    state_name: str | None = None
    state: AnyState = None
    run_count: int = 0
    expected_start_time: datetime | None = None
    next_scheduled_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: float = 0.0
    estimated_run_time: float = 0.0
    estimated_start_time_delta: float = 0.0


class FlowRun(Run):
    flow_id: UUID
    deployment_id: UUID | None = None
    deployment_version: str | None = None
    flow_version: str | None = None
    parameters: Details = {}
    context: Details = {}
    idempotency_key: str | None = None
    parent_task_run_id: UUID | None = None
    work_queue_id: UUID | None = None
    work_queue_name: str | None = None
    work_pool_id: UUID | None = None
    work_pool_name: str | None = None
    auto_scheduled: bool = False
    infrastructure_document_id: UUID | None = None
    infrastructure_pid: str | None = None
    job_variables: Details = {}


class TaskRun(Run):
    flow_run_id: UUID | None = None
    task_key: str
    dynamic_key: str
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    task_version: str | None = None
    task_inputs: Details = {}
    flow_run_run_count: int = 0


class VerdictDetails(Answer):
    type: str | None = None
    reason: str | None = None
    delay_seconds: int | None = None


class OrchestrationResult(Answer):
    """The verdict on one proposed state, and the run's state after it."""

    status: Literal["ACCEPT", "REJECT", "WAIT", "ABORT"]
    state: AnyState = None
    details: VerdictDetails = Field(default_factory=VerdictDetails)

    @property
    def reason(self) -> str | None:
        return self.details.reason


class Log(Stored):
    name: str
    level: int
    message: str
    timestamp: datetime
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class Artifact(Stored):
    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, Any] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class ArtifactCollection(Artifact):
    latest_id: UUID


class SavedSearch(Stored):
    name: str
    filters: Annotated[list[dict[str, Any]], BeforeValidator(lambda value: value or [])] = []


class FlowRunInput(Stored):
    flow_run_id: UUID
    key: str
    value: str
    sender: str | None = None


class TakenLimit(Stored):
    """A global limit whose slots were taken; with a lease where they are held by name."""

    name: str
    limit: int
    lease_id: UUID | None = None
    expires_at: datetime | None = None


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


class Upstream(Answer):
    """A task run that another one takes its input from."""

    id: UUID


class Dependency(Answer):
    """One task run and the task runs it takes its inputs from."""

    id: UUID
    name: str | None = None
    upstream_dependencies: list[Upstream] = []
    state: AnyState = None
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


class Graph(Answer):
    start_time: datetime | None = None
    end_time: datetime | None = None
    root_node_ids: list[UUID] = []
    nodes: list[tuple[UUID, GraphNode]] = []
    artifacts: list[GraphArtifact] = []
    states: list[GraphState] = []


class WhyReason(Answer):
    """One thing that keeps a run from moving, and what would help."""

    code: str
    text: str
    fix: str | None = None
    since: datetime | None = None
    holders: list[dict[str, Any]] | None = None


class Judgement(Answer):
    rule: str
    verdict: str
    reason: str | None = None


class HistoryEntry(Answer):
    """One state of a run with the trail of rules that led to it."""

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
    """Why a run is where it is."""

    run_id: UUID
    kind: str
    state: AnyState = None
    moving: bool
    reasons: list[WhyReason] = []
    history: list[HistoryEntry] = []
    refusal: dict[str, Any] | None = None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_answer(kind: Any, content: bytes) -> Any:
    """The typed value of an answer's JSON."""
    return _adapter(kind).validate_json(content)


def prepare_for(*kinds: Any) -> None:
    """Build the validators of these answers now, before a fork makes each child build them."""
    for kind in kinds:
        with suppress(ValidationError):
            _adapter(kind).validate_json(b"null")
