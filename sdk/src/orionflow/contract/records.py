"""Artifacts, inputs of flow runs, saved searches, and the health of the server's services on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from orionflow.contract.wire import (
    JSON,
    OWN,
    Answer,
    Content,
    Findable,
    LongText,
    MadeBy,
    Stored,
    StrictWire,
    Text255,
    Text1024,
    Together,
    Wire,
)

ArtifactKey = Annotated[str, Field(max_length=255, pattern=r"^[a-z0-9-]+$")]
InputKey = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._-]+$"), Findable]


def as_metadata(value: Any) -> Any:
    """Return a number or a flag as text, as Prefect stores it."""
    return str(value) if isinstance(value, int | float) else value


MetadataText = Annotated[str, BeforeValidator(as_metadata)]
Metadata = Annotated[dict[str, MetadataText], Field(max_length=1000)]


class ArtifactUpdate(StrictWire):
    """Changes of an artifact. Only the fields that are sent are changed."""

    data: Content = None
    description: LongText | None = None
    metadata_: Metadata | None = None


class ArtifactCreate(ArtifactUpdate):
    id: UUID | None = None
    key: ArtifactKey | None = None
    type: Text255 | None = None
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
    """The newest artifact of a key."""

    latest_id: UUID


class NewInput(Wire):
    key: InputKey
    value: str
    sender: Text1024 | None = None


class InputQuestion(Wire):
    prefix: Text255
    limit: Annotated[int, Field(ge=0, lt=2**31)] | None = 1
    exclude_keys: Annotated[list[Text255], Field(max_length=10_000)] | None = None


class FlowRunInput(Stored):
    flow_run_id: UUID
    key: str
    value: str
    sender: str | None = None


class SavedSearchFilter(Wire):
    object: str
    property: str
    type: str
    operation: str
    value: JSON


# Who sees a saved search: everyone, or only the user who saved it.
Visibility = Literal["team", "me"]


class SavedSearchCreate(StrictWire):
    name: Text255
    filters: Annotated[list[SavedSearchFilter], Field(max_length=1000), Together] = []
    visibility: Visibility = "team"


class SavedSearchFilterOut(TypedDict):
    object: str
    property: str
    type: str
    operation: str
    value: Any


class SavedSearch(Stored):
    name: str
    filters: Annotated[list[SavedSearchFilterOut], BeforeValidator(lambda value: value or [])] = []
    visibility: Annotated[Visibility, OWN] = "team"
    created_by: Annotated[MadeBy | None, OWN] = None


class Bottleneck(Answer):
    """A part of the installation that delays the others: the evidence, and the remedy."""

    part: str
    evidence: str
    fix: str


class Service(Answer):
    """A service of the server: its last tick, its lag, and its last error."""

    name: str
    description: str = ""
    verdict: Literal["well", "behind", "failing"]
    every_seconds: float
    last_tick: datetime | None = None
    lag_seconds: float
    last_seconds: float
    last_success: datetime | None = None
    ticks: int
    errors: int
    last_error: str = ""
    last_error_at: datetime | None = None
    ticker: str
