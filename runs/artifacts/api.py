"""Artifacts, and the newest one of each key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.response import Response

from orchestration.api.answers import as_answer
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orchestration.large import completed, without_large
from orion_site.accounts.permissions import Action
from orionflow.contract import records
from orionflow.contract.wire import Shaped
from runs.artifacts.services import NewArtifact, create_artifact, delete_artifact, update_artifact
from runs.lists.api import RunQuestion
from runs.lists.filters.searches import ArtifactSearch, LatestArtifactSearch, artifacts_matching
from runs.lists.filters.sorts import ORDERS, ArtifactSort
from runs.models import Artifact, ArtifactCollection

ArtifactOut = Annotated[dict[str, Any], Shaped(records.Artifact)]
ArtifactCollectionOut = Annotated[dict[str, Any], Shaped(records.ArtifactCollection)]


class ArtifactListing(ArtifactSearch, Page):
    sort: ArtifactSort = ArtifactSort.ID_DESC


class LatestArtifactListing(LatestArtifactSearch, Page):
    sort: ArtifactSort = ArtifactSort.ID_DESC


class CreateArtifact(Operation):
    """Store an artifact; with a key it becomes the newest of that key."""

    method = "POST"
    action_required = Action.REPORT_RUNS
    masks_secrets = True
    reports = True
    answers = {201: ArtifactOut}

    def reported_runs(self, body: records.ArtifactCreate) -> Iterable[tuple[str, UUID | None]]:
        if body.flow_run_id is not None:
            yield "runs_flowrun", body.flow_run_id
        else:
            yield "runs_taskrun", body.task_run_id

    def named_rows(self, body: records.ArtifactCreate) -> Iterable[tuple[str, UUID | None]]:
        yield "runs_taskrun", body.task_run_id
        yield "runs_artifact", body.id

    def perform(self, body: records.ArtifactCreate) -> Response:
        new = NewArtifact(**{name: getattr(body, name) for name in body.model_fields_set})
        return Response(artifact_out(create_artifact(new=new, now=current_time())), status=201)


class ReadArtifact(Operation):
    """Read an artifact."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: ArtifactOut}

    def perform(self, id: UUID) -> ArtifactOut:
        return _found(Artifact.objects.filter(pk=id).first())


class ReadLatestArtifact(Operation):
    """Read the newest artifact of a key."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: ArtifactOut}

    def perform(self, key: str) -> ArtifactOut:
        latest = ArtifactCollection.objects.filter(key=key).values("latest_id")
        return _found(Artifact.objects.filter(pk__in=latest).first())


class UpdateArtifact(Operation):
    """Change an artifact's data, description or metadata."""

    method = "PATCH"
    action_required = Action.REPORT_RUNS
    masks_secrets = True
    answers = {204: None}

    def perform(self, id: UUID, body: records.ArtifactUpdate) -> None:
        changes = {name: getattr(body, name) for name in body.model_fields_set}
        update_artifact(artifact_id=id, changes=changes, now=current_time())


class DeleteArtifact(Operation):
    """Delete an artifact; the one before becomes the newest of its key."""

    method = "DELETE"
    action_required = Action.CHANGE_RUNS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_artifact(artifact_id=id)


# Columns whose size only the writer limits.
FREE_COLUMNS = ("data", "description", "metadata")


class FilterArtifacts(RunQuestion):
    """List artifacts."""

    answers = {200: list[ArtifactOut]}

    def perform(self, body: ArtifactListing) -> list[ArtifactOut]:
        found = artifacts_matching(body).order_by(*ORDERS[body.sort])
        listed = completed(self.paginate_queryset(without_large(found, *FREE_COLUMNS)), *FREE_COLUMNS)
        return [artifact_out(artifact) for artifact in listed]


class CountArtifacts(RunQuestion):
    """Count artifacts."""

    answers = {200: int}

    def perform(self, body: ArtifactSearch) -> int:
        return artifacts_matching(body).count()


class FilterLatestArtifacts(RunQuestion):
    """List keys with their newest artifacts."""

    answers = {200: list[ArtifactCollectionOut]}

    def perform(self, body: LatestArtifactListing) -> list[ArtifactCollectionOut]:
        collections = self.paginate_queryset(_collections(body).order_by(*ORDERS[body.sort]))
        rows = Artifact.objects.filter(pk__in=[collection.latest_id for collection in collections])
        listed = completed(list(without_large(rows, *FREE_COLUMNS)), *FREE_COLUMNS)
        latest = {artifact.pk: artifact for artifact in listed}
        return [
            collection_out(collection, latest[collection.latest_id])
            for collection in collections
            if collection.latest_id in latest
        ]


class CountLatestArtifacts(RunQuestion):
    """Count keys by their newest artifacts."""

    answers = {200: int}

    def perform(self, body: LatestArtifactSearch) -> int:
        return _collections(body).count()


def _collections(search: LatestArtifactSearch) -> QuerySet[ArtifactCollection]:
    return ArtifactCollection.objects.filter(latest_id__in=artifacts_matching(search).values("pk"))


def _found(artifact: Artifact | None) -> ArtifactOut:
    return artifact_out(existing(artifact, "Artifact"))


def artifact_out(artifact: Artifact) -> ArtifactOut:
    return as_answer(records.Artifact, artifact, metadata_=artifact.metadata)


def collection_out(collection: ArtifactCollection, latest: Artifact) -> ArtifactCollectionOut:
    """Return the newest artifact of a key, with the id and the times of its collection."""
    own = {"id": collection.id, "created": collection.created, "updated": collection.updated}
    return as_answer(records.ArtifactCollection, latest, **own, latest_id=latest.id, metadata_=latest.metadata)
