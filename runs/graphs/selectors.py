"""The graph of a flow run: its task runs, the nested flow runs that they stand for, and the data passed between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from runs.models import Artifact, ArtifactCollection, FlowRun, FlowRunState, TaskRun

MOST_NODES = 10_000
# Task runs that are read for their edges, including those that ended before `since`; more would take too long.
MOST_TASK_RUNS = 100_000
MOST_ARTIFACTS = 10_000


class GraphTooLarge(Exception):
    """The graph has more nodes or task runs than can be shown."""


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
    """Return the task runs that the inputs came from, each once, in order."""
    found: dict[UUID, None] = {}
    for sources in task_inputs.values():
        for source in sources:
            if source.get("input_type") == "task_run":
                found[UUID(source["id"])] = None
    return list(found)


def task_runs_of(flow_run_id: UUID) -> list[TaskRun]:
    return list(TaskRun.objects.filter(flow_run=flow_run_id).order_by("created", "id")[:MOST_NODES])


def flow_run_graph(*, flow_run_id: UUID, since: datetime) -> Graph | None:
    """Return the runs that started, and did not end before `since`, with their edges; None for an unknown flow run.

    Seven queries at most. Raises GraphTooLarge.
    """
    run = FlowRun.objects.filter(pk=flow_run_id).only("start_time", "expected_start_time", "end_time").first()
    if run is None:
        return None
    task_runs, subflows = _started(flow_run_id), _subflows(flow_run_id)
    found = {task_run.id: _node(task_run, subflows.get(task_run.id)) for task_run in task_runs}
    nodes = {id: node for id, node in found.items() if node is not None}
    _connect(nodes, task_runs)
    shown = [node for node in nodes.values() if node.end_time is None or node.end_time >= since]
    if len(shown) > MOST_NODES:
        raise GraphTooLarge(f"The graph of flow run {flow_run_id} has more than {MOST_NODES} nodes.")
    return Graph(
        run.start_time or run.expected_start_time,
        run.end_time,
        sorted(shown, key=_order),
        _artifacts(flow_run_id, nodes),
        list(FlowRunState.objects.filter(flow_run=flow_run_id).order_by("seq").only("timestamp", "type", "name")),
        _newest(flow_run_id),
    )


def _started(flow_run_id: UUID) -> list[TaskRun]:
    """Return the task runs that have started; the graph does not show others."""
    columns = ("name", "state_type", "start_time", "expected_start_time", "end_time", "task_inputs")
    found = TaskRun.objects.filter(flow_run=flow_run_id, state_type__isnull=False).exclude(state_type="PENDING")
    task_runs = list(found.only(*columns).order_by("start_time", "id")[: MOST_TASK_RUNS + 1])
    if len(task_runs) > MOST_TASK_RUNS:
        raise GraphTooLarge(f"Flow run {flow_run_id} has more than {MOST_TASK_RUNS} task runs, too many for a graph.")
    return task_runs


def _order(node: Node) -> tuple[datetime, bool, datetime, UUID]:
    return node.start_time, node.end_time is None, node.end_time or node.start_time, node.id


def _subflows(flow_run_id: UUID) -> dict[UUID | None, FlowRun]:
    """Return nested flow runs by the task run that stands for them."""
    found = FlowRun.objects.select_related("flow").filter(parent_task_run__flow_run=flow_run_id)
    return {subflow.parent_task_run_id: subflow for subflow in found}


def _node(task_run: TaskRun, subflow: FlowRun | None) -> Node | None:
    """Return the node of a task run; None if it has no time at which to draw it."""
    runs = [run for run in (subflow, task_run) if run is not None]
    start = next((at for run in runs for at in (run.start_time, run.expected_start_time) if at is not None), None)
    state_type = next((run.state_type for run in runs if run.state_type is not None), None)
    if start is None or state_type is None:
        return None
    end = next((run.end_time for run in runs if run.end_time is not None), None)
    if subflow is None:
        return Node("task-run", task_run.id, task_run.name, state_type, start, end)
    return Node("flow-run", subflow.id, f"{subflow.flow.name} / {subflow.name}", state_type, start, end)


def _connect(nodes: Mapping[UUID, Node], task_runs: Sequence[TaskRun]) -> None:
    """Add the edges, ordered by the nodes at their other end."""
    inputs = {task_run.id: upstream_ids(task_run.task_inputs) for task_run in task_runs}
    for id, node in sorted(nodes.items(), key=lambda pair: _order(pair[1])):
        # A task run that has not started, or that belongs to another flow run, is not shown.
        upstream = sorted((nodes[one] for one in inputs[id] if one in nodes), key=_order)
        node.parents += [one.id for one in upstream]
        for one in upstream:
            one.children.append(node.id)


def _artifacts(flow_run_id: UUID, nodes: Mapping[UUID, Node]) -> list[Artifact]:
    """Return the artifacts of the flow run itself; add those of its task runs to their nodes. Results are left out."""
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
