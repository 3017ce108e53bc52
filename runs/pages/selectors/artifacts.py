"""Artifacts by their keys, and one artifact with the others of its key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from runs.models import Artifact, ArtifactCollection, FlowRun, TaskRun
from runs.pages.selectors.keyset import Cursor, Page, page_of

KEYS_PER_PAGE = 100
HISTORY_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class ArtifactsPage:
    """The newest artifact of each key, by key."""

    rows: Sequence[Artifact]
    after: str


@dataclass(frozen=True, slots=True)
class ArtifactPage:
    """One artifact, the run that created it, and a page of artifacts with its key, newest first."""

    artifact: Artifact
    flow_run: FlowRun | None
    task_run: TaskRun | None
    history: Page[Artifact]

    @property
    def shown(self) -> list[Artifact]:
        return [self.artifact]


def artifacts_page(*, key: str, after: str) -> ArtifactsPage:
    """Return a page of keys, each with its newest artifact without data. Two queries."""
    keys = ArtifactCollection.objects.order_by("key")
    if key:
        keys = keys.filter(key__icontains=key)
    if after:
        keys = keys.filter(key__gt=after)
    found = list(keys[: KEYS_PER_PAGE + 1])
    shown = found[:KEYS_PER_PAGE]
    newest = Artifact.objects.defer("data", "metadata").in_bulk([one.latest_id for one in shown])
    rows = [newest[one.latest_id] for one in shown if one.latest_id in newest]
    return ArtifactsPage(rows, shown[-1].key if len(found) > KEYS_PER_PAGE else "")


def artifact_page(*, artifact_id: UUID, after: Cursor | None) -> ArtifactPage | None:
    artifact = Artifact.objects.filter(pk=artifact_id).first()
    if artifact is None:
        return None
    flow_runs = FlowRun.objects.select_related("flow").only("name", "state_type", "state_name", "flow__name")
    flow_run = flow_runs.filter(pk=artifact.flow_run_id).first() if artifact.flow_run_id else None
    task_runs = TaskRun.objects.only("name", "state_type", "state_name")
    task_run = task_runs.filter(pk=artifact.task_run_id).first() if artifact.task_run_id else None
    same = Artifact.objects.defer("data", "metadata").filter(key=artifact.key)
    history: Page[Artifact] = Page([], None)
    if artifact.key:
        history = page_of(same, by="created", after=after, size=HISTORY_PER_PAGE)
    return ArtifactPage(artifact, flow_run, task_run, history)
