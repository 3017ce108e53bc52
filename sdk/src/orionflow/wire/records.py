"""What is kept beside runs: logs, artifacts, inputs, searches, and slots that are held."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator

from orionflow.wire.answer import Stored


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
