"""The graphs of a flow run: which task run takes input from which."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from orchestration.api.answers import as_answer
from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orchestration.api.states import stored_state_out
from orchestration.database_clock import current_time
from orchestration.errors import FlowRunNotFound
from orion_site.accounts.permissions import Action
from orionflow.contract import explanations as contract
from orionflow.contract.wire import Shaped
from runs.graphs.selectors import GraphTooLarge, Node, flow_run_graph, roots, task_runs_of, upstream_ids
from runs.models import Artifact, FlowRun, TaskRun
from runs.schemas.runs import estimated_run_time
from runs.states.selectors import current_task_run_states

DependencyOut = Annotated[dict[str, Any], Shaped(contract.Dependency)]
GraphOut = Annotated[dict[str, Any], Shaped(contract.Graph)]


class ReadDependencies(Operation):
    """List the task runs of a flow run with their upstream task runs."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: list[DependencyOut]}
    orchestrates = True

    def perform(self, id: UUID) -> list[DependencyOut]:
        if not FlowRun.objects.filter(pk=id).exists():
            raise FlowRunNotFound(id=id)
        task_runs, now = task_runs_of(id), current_time()
        states = current_task_run_states(task_runs)
        return [_dependency(run, states.get(run.state_id), now) for run in task_runs]


class ReadGraph(Operation):
    """Read the graph of the runs that a flow run started; with `since`, only of those that had not ended by then."""

    method = "GET"
    action_required = Action.READ_RUNS
    odd_id = 404
    answers = {200: GraphOut}
    orchestrates = True

    def perform(self, id: UUID, query: contract.GraphQuestion) -> GraphOut:
        try:
            graph = flow_run_graph(flow_run_id=id, since=query.since)
        except GraphTooLarge as error:
            raise Refused(str(error), 400) from None
        if graph is None:
            raise FlowRunNotFound(id=id)
        return {
            "start_time": graph.start_time,
            "end_time": graph.end_time,
            "root_node_ids": list(roots(graph.nodes)),
            "nodes": [(node.id, _node(node, graph.newest_artifacts)) for node in graph.nodes],
            "artifacts": _artifacts(graph.artifacts, graph.newest_artifacts),
            "states": [as_answer(contract.GraphState, state) for state in graph.states],
        }


def _dependency(run: TaskRun, state: Any, now: datetime) -> DependencyOut:
    return as_answer(
        contract.Dependency,
        run,
        upstream_dependencies=[{"input_type": "task_run", "id": id} for id in upstream_ids(run.task_inputs)],
        state=stored_state_out(state, flow_run_id=run.flow_run_id, task_run_id=run.id) if state else None,
        total_run_time=run.total_run_time.total_seconds(),
        estimated_run_time=estimated_run_time(run, now).total_seconds(),
        untrackable_result=bool(state and state.details.get("untrackable_result")),
    )


def _node(node: Node, newest: frozenset[UUID]) -> dict[str, Any]:
    return as_answer(
        contract.GraphNode,
        node,
        parents=[{"id": parent} for parent in node.parents],
        children=[{"id": child} for child in node.children],
        artifacts=_artifacts(node.artifacts, newest),
    )


def _artifacts(artifacts: Sequence[Artifact], newest: frozenset[UUID]) -> list[dict[str, Any]]:
    return [
        # An artifact without a key has no later version.
        as_answer(contract.GraphArtifact, artifact, is_latest=artifact.key is None or artifact.id in newest)
        for artifact in artifacts
    ]
