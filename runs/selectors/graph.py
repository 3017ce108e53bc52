"""What hangs together in a flow run: task runs, the nested flow runs they stand for, and who takes input from whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import Q

from runs.models import Artifact, ArtifactCollection, FlowRun, FlowRunState, TaskRun

MOST_NODES = 10_000
MOST_ARTIFACTS = 10_000


@dataclass(slots=True)
class Node:
    """A task run, or the nested flow run that it stands for."""

    kind: Literal["flow-run", "task-run"]
    id: UUID
    label: str
    state_type: str
    start_time: datetime
    end_time: datetime | None
    parents: list[UUID] = field(default_factory=list)
    children: list[UUID] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Graph:
    start_time: datetime | None
    end_time: datetime | None
    nodes: Sequence[Node]
    artifacts: Sequence[Artifact]
    states: Sequence[FlowRunState]
    newest_artifacts: frozenset[UUID]


def upstream_ids(task_inputs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[UUID]:
    """The task runs that the inputs came from, each once, in order."""
    found: dict[UUID, None] = {}
    for sources in task_inputs.values():
        for source in sources:
            if source.get("input_type") == "task_run":
                found[UUID(source["id"])] = None
    return list(found)


def task_runs_of(flow_run_id: UUID) -> list[TaskRun]:
    return list(TaskRun.objects.filter(flow_run=flow_run_id).order_by("created", "id")[:MOST_NODES])


def flow_run_graph(*, flow_run_id: UUID, since: datetime) -> Graph | None:
    """What has started, and not ended before `since`; None for an unknown flow run. Seven queries at most."""
    run = FlowRun.objects.filter(pk=flow_run_id).only("start_time", "expected_start_time", "end_time").first()
    if run is None:
        return None
    task_runs = _started(flow_run_id, since)
    subflows = _subflows(flow_run_id)
    nodes = {task_run.id: _node(task_run, subflows.get(task_run.id)) for task_run in task_runs}
    _connect(nodes, task_runs)
    artifacts = _artifacts(flow_run_id, nodes)
    return Graph(
        run.start_time or run.expected_start_time,
        run.end_time,
        sorted(nodes.values(), key=lambda node: (node.start_time, node.id)),
        artifacts,
        list(FlowRunState.objects.filter(flow_run=flow_run_id).order_by("seq").only("timestamp", "type", "name")),
        _newest(flow_run_id),
    )


def _started(flow_run_id: UUID, since: datetime) -> list[TaskRun]:
    open_or_later = Q(end_time__isnull=True) | Q(end_time__gte=since)
    columns = ("name", "state_type", "start_time", "end_time", "task_inputs")
    found = TaskRun.objects.filter(
        open_or_later, flow_run=flow_run_id, start_time__isnull=False, state_type__isnull=False
    )
    return list(found.only(*columns).order_by("start_time", "id")[:MOST_NODES])


def _subflows(flow_run_id: UUID) -> dict[UUID | None, FlowRun]:
    """By the task run that stands for them."""
    found = FlowRun.objects.select_related("flow").filter(parent_task_run__flow_run=flow_run_id)
    return {subflow.parent_task_run_id: subflow for subflow in found}


def _node(task_run: TaskRun, subflow: FlowRun | None) -> Node:
    run: FlowRun | TaskRun = subflow or task_run
    start = run.start_time or task_run.start_time
    assert start is not None
    state_type = run.state_type or task_run.state_type
    assert state_type is not None
    if subflow is None:
        return Node("task-run", task_run.id, task_run.name, state_type, start, task_run.end_time)
    return Node("flow-run", subflow.id, f"{subflow.flow.name} / {subflow.name}", state_type, start, subflow.end_time)


def _connect(nodes: dict[UUID, Node], task_runs: Sequence[TaskRun]) -> None:
    for task_run in task_runs:
        node = nodes[task_run.id]
        for upstream in upstream_ids(task_run.task_inputs):
            # A task run that has not started, or that belongs to another flow run, is not in the picture.
            if upstream in nodes:
                node.parents.append(nodes[upstream].id)
                nodes[upstream].children.append(node.id)


def _artifacts(flow_run_id: UUID, nodes: dict[UUID, Node]) -> list[Artifact]:
    """Those of the flow run itself; those of its task runs go to their nodes. Results are not artifacts to look at."""
    found = Artifact.objects.filter(flow_run_id=flow_run_id).exclude(type="result").defer("data", "description")
    own = []
    for artifact in found.order_by("created")[:MOST_ARTIFACTS]:
        if artifact.task_run_id is None:
            own.append(artifact)
        elif artifact.task_run_id in nodes:
            nodes[artifact.task_run_id].artifacts.append(artifact)
    return own


def _newest(flow_run_id: UUID) -> frozenset[UUID]:
    mine = Artifact.objects.filter(flow_run_id=flow_run_id, key__isnull=False).values("pk")
    return frozenset(ArtifactCollection.objects.filter(latest_id__in=mine).values_list("latest_id", flat=True))


def roots(nodes: Sequence[Node]) -> Iterator[UUID]:
    return (node.id for node in nodes if not node.parents)
