"""Artifacts on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from orionflow.contract.wire import Content, LongText, StrictWire, Text255
from runs.models import Artifact, ArtifactCollection

Key = Annotated[str, Field(max_length=255, pattern=r"^[a-z0-9-]+$")]
# Clients put numbers and flags there as well; they come back as text.
MetadataText = Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else str(value))]
Metadata = Annotated[dict[str, MetadataText], Field(max_length=1000)]


class ArtifactCreate(StrictWire):
    id: UUID | None = None
    key: Key | None = None
    type: Text255 | None = None
    description: LongText | None = None
    data: Content = None
    metadata_: Metadata | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class ArtifactUpdate(StrictWire):
    """Only what is sent is changed."""

    data: Content = None
    description: LongText | None = None
    metadata_: Metadata | None = None


class ArtifactOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    key: str | None
    type: str | None
    description: str | None
    data: Any
    metadata_: dict[str, str] | None
    flow_run_id: UUID | None
    task_run_id: UUID | None


class ArtifactCollectionOut(ArtifactOut):
    latest_id: UUID


def artifact_out(artifact: Artifact) -> ArtifactOut:
    return {
        "id": artifact.id,
        "created": artifact.created,
        "updated": artifact.updated,
        "key": artifact.key,
        "type": artifact.type,
        "description": artifact.description,
        "data": artifact.data,
        "metadata_": artifact.metadata,
        "flow_run_id": artifact.flow_run_id,
        "task_run_id": artifact.task_run_id,
    }


def collection_out(collection: ArtifactCollection, latest: Artifact) -> ArtifactCollectionOut:
    return {
        **artifact_out(latest),
        "id": collection.id,
        "created": collection.created,
        "updated": collection.updated,
        "latest_id": latest.id,
    }
