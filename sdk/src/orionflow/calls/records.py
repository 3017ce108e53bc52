"""Calls about the records of runs, logs and artifacts, and about saved searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, Collection, Filter, present, selection
from orionflow.contract.ids import uuid7

if TYPE_CHECKING:
    from orionflow.contract.logs import Log
    from orionflow.contract.records import Artifact, ArtifactCollection, SavedSearch

LOGS: Collection[Log] = Collection("/logs", lambda: contract.logs.Log)
ARTIFACTS: Collection[Artifact] = Collection("/artifacts", lambda: contract.records.Artifact)
# The newest artifact of each key.
LATEST_ARTIFACTS: Collection[ArtifactCollection] = Collection(
    "/artifacts/latest", lambda: contract.records.ArtifactCollection
)
SAVED_SEARCHES: Collection[SavedSearch] = Collection("/saved_searches", lambda: contract.records.SavedSearch)


def create_logs(lines: Sequence[Mapping[str, Any]]) -> Call[None]:
    """Store log lines, each with name, level, message, timestamp and the ids of its run."""
    return Call("POST", f"{LOGS.path}/", [{"id": uuid7(), **line} for line in lines])


def read_logs(
    *, logs: Filter | None = None, sort: str | None = None, limit: int | None = None, offset: int = 0
) -> Call[list[Log]]:
    """List the log lines that match the filter, oldest first unless `sort` says otherwise."""
    return LOGS.find(present(logs=logs, sort=sort, limit=limit, offset=offset))


def create_artifact(
    *,
    key: str | None = None,
    type: str | None = None,
    description: str | None = None,
    data: Any = None,
    metadata: Mapping[str, str] | None = None,
    flow_run_id: UUID | None = None,
    task_run_id: UUID | None = None,
) -> Call[Artifact]:
    """Create an artifact; it becomes the newest of its key, if it has one."""
    body = present(
        id=uuid7(),
        key=key,
        type=type,
        description=description,
        data=data,
        metadata_=metadata,
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
    )
    return ARTIFACTS.create(body)


def read_artifact(artifact_id: UUID) -> Call[Artifact]:
    """Read one artifact by its id."""
    return ARTIFACTS.read(artifact_id)


def read_latest_artifact(key: str) -> Call[Artifact]:
    """Read the newest artifact of a key."""
    return Call("GET", f"{ARTIFACTS.one(key)}/latest", read=ARTIFACTS.answer)


def update_artifact(
    artifact_id: UUID, *, data: Any = None, description: str | None = None, metadata: Mapping[str, str] | None = None
) -> Call[None]:
    """Change the named fields of an artifact."""
    return ARTIFACTS.update(artifact_id, present(data=data, description=description, metadata_=metadata))


def delete_artifact(artifact_id: UUID) -> Call[None]:
    """Delete an artifact; the one before it becomes the newest of its key."""
    return ARTIFACTS.delete(artifact_id)


def read_artifacts(
    *,
    artifacts: Filter | None = None,
    sort: str | None = None,
    limit: int | None = None,
    offset: int = 0,
    **criteria: Any,
) -> Call[list[Artifact]]:
    """List the artifacts that match the criteria."""
    return ARTIFACTS.find(selection(artifacts=artifacts, sort=sort, limit=limit, offset=offset, **criteria))


def read_latest_artifacts(
    *,
    artifacts: Filter | None = None,
    sort: str | None = None,
    limit: int | None = None,
    offset: int = 0,
    **criteria: Any,
) -> Call[list[ArtifactCollection]]:
    """Read the newest artifact of each key that matches the criteria."""
    return LATEST_ARTIFACTS.find(selection(artifacts=artifacts, sort=sort, limit=limit, offset=offset, **criteria))


def count_artifacts(*, artifacts: Filter | None = None, **criteria: Any) -> Call[int]:
    """Count the artifacts that match the criteria."""
    return ARTIFACTS.count(selection(artifacts=artifacts, **criteria))


def save_search(
    name: str, filters: Sequence[Mapping[str, Any]], *, visibility: Literal["team", "me"] | None = None
) -> Call[SavedSearch]:
    """Store filters under a name, for everyone ("team") or only for you ("me"), replacing a search with the name."""
    body = {"name": name, **present(filters=list(filters), visibility=visibility)}
    return Call("PUT", f"{SAVED_SEARCHES.path}/", body, read=SAVED_SEARCHES.answer)


def read_saved_search(saved_search_id: UUID) -> Call[SavedSearch]:
    """Read one saved search by its id."""
    return SAVED_SEARCHES.read(saved_search_id)


def delete_saved_search(saved_search_id: UUID) -> Call[None]:
    """Delete a saved search."""
    return SAVED_SEARCHES.delete(saved_search_id)


def read_saved_searches(*, limit: int | None = None, offset: int = 0) -> Call[list[SavedSearch]]:
    """Read all saved searches."""
    return SAVED_SEARCHES.find(present(limit=limit, offset=offset))
