"""Artifacts, and for each key the collection that points at its newest one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestration.acts import note
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7
from runs.errors import ArtifactNotFound
from runs.models import Artifact, ArtifactCollection

UPDATABLE = frozenset({"data", "description", "metadata_"})
MAX_METADATA_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArtifact:
    """An artifact of a run. Creating it again with the same `id` changes nothing."""

    id: UUID | None = None

    key: str | None = None
    type: str | None = None
    description: str | None = None
    data: Any = None
    metadata_: dict[str, str] | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


@repeated_on_conflict
def create_artifact(*, new: NewArtifact, now: datetime) -> Artifact:
    with write_transaction():
        known: Artifact | None = Artifact.objects.filter(pk=new.id).first() if new.id else None
        if known is not None:
            return known
        columns = _columns(asdict(new))
        artifact = Artifact(**{**columns, "id": new.id or uuid7()}, created=now)
        artifact.save(force_insert=True)
        if new.key is not None:
            ArtifactCollection.objects.update_or_create(
                key=new.key,
                defaults={"latest_id": artifact.pk, "updated": now},
                create_defaults={"latest_id": artifact.pk, "created": now},
            )
        return artifact


def update_artifact(*, artifact_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    columns = _columns({name: value for name, value in changes.items() if name in UPDATABLE})
    with write_transaction():
        if not Artifact.objects.filter(pk=artifact_id).update(**columns, updated=now):
            raise ArtifactNotFound(id=artifact_id)


@repeated_on_conflict
def delete_artifact(*, artifact_id: UUID) -> None:
    """Delete the artifact. Its collection then points at the previous one, or is deleted with the last one."""
    with write_transaction():
        artifact = Artifact.objects.filter(pk=artifact_id).first()
        if artifact is None:
            raise ArtifactNotFound(id=artifact_id)
        deleted = {"key": artifact.key, "type": artifact.type, "flow_run_id": artifact.flow_run_id}
        note("artifact", artifact_id, name=artifact.key or "", before=deleted)
        artifact.delete()
        collection = ArtifactCollection.objects.filter(latest_id=artifact_id)
        latest = (
            Artifact.objects.filter(key=artifact.key).order_by("-created", "-pk").values_list("pk", flat=True).first()
        )
        if latest:
            collection.update(latest_id=latest)
        else:
            collection.delete()


def _columns(given: dict[str, Any]) -> dict[str, Any]:
    # The API calls the column `metadata_`; Django allows no field name that ends in an underscore.
    if "metadata_" in given:
        metadata = given.pop("metadata_")
        given["metadata"] = metadata and {
            name: str(value)[:MAX_METADATA_CHARACTERS] for name, value in metadata.items()
        }
    return given
