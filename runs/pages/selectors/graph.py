"""The graph of a flow run for its page: tasks or task runs, and the data between them.

A task that was mapped over 10,000 inputs is one node. Task runs are shown separately first for the
task that the user opened, then for the tasks with the fewest runs, until the picture is full.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Func, TextField
from django.db.models.functions import Cast

from runs.graphs.core.ranks import Edge, Ranks, ranks, reachable
from runs.models import FlowRun, TaskRun
from runs.pages.selectors.results import Result, result_of_task_run
from runs.pages.selectors.timeline import WORST_FIRST

# Limits: task runs that are read, task runs that are drawn as nodes of their own, nodes, and edges.
TASK_RUNS_READ = 10_000
TASK_RUNS_APART = 300
NODES_DRAWN = 400
EDGES_DRAWN = 3_000
# By default, task runs are shown separately if there are at most this many.
FEW_TASK_RUNS = 40

TASK_RUN = "task_run"
Inputs = Mapping[str, Sequence[Mapping[str, Any]]]


class Run(NamedTuple):
    """Some columns of a task run. Ten thousand are read at once, so ids remain texts as in the database."""

    key: str
    name: str
    task_key: str
    state_type: str | None
    state_name: str | None
    total_run_time: timedelta
    task_inputs: Inputs

    @property
    def id(self) -> UUID:
        return UUID(self.key)


@dataclass(slots=True)
class Node:
    """A task run, or several of one task."""

    key: str
    name: str
    task_key: str
    runs: list[Run] = field(default_factory=list)
    by_type: dict[str, int] = field(default_factory=dict)
    subflows: list[FlowRun] = field(default_factory=list)

    @property
    def number(self) -> int:
        return len(self.runs)

    @property
    def run(self) -> Run | None:
        """The task run, if the node has only one."""
        return self.runs[0] if len(self.runs) == 1 else None

    @property
    def worst(self) -> str:
        """The state that decides the colour of the node."""
        return next((one for one in WORST_FIRST if one in self.by_type), "COMPLETED" if self.by_type else "")

    @property
    def shortest(self) -> timedelta:
        return min(run.total_run_time for run in self.runs)

    @property
    def longest(self) -> timedelta:
        return max(run.total_run_time for run in self.runs)


@dataclass(frozen=True, slots=True)
class Link:
    """A neighbour of the chosen node, and the parameters that pass the data."""

    node: Node
    parameters: Sequence[str]


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of their creation; edges by the numbers of their nodes, with the names of parameters."""

    nodes: Sequence[Node]
    edges: Mapping[Edge, Sequence[str]]
    chosen: int | None = None
    is_apart: bool = False
    # Omitted: whether some task runs were not read, and the numbers of task runs and edges that are not drawn.
    unread: bool = False
    task_runs_left_out: int = 0
    edges_left_out: int = 0

    @property
    def has_groups(self) -> bool:
        return any(node.run is None for node in self.nodes)

    @cached_property
    def ranks(self) -> Ranks:
        return ranks(len(self.nodes), self.edges)

    @cached_property
    def upstream(self) -> set[int]:
        return set() if self.chosen is None else reachable(self.chosen, self.edges, upstream=True)

    @cached_property
    def downstream(self) -> set[int]:
        return set() if self.chosen is None else reachable(self.chosen, self.edges, upstream=False)

    @cached_property
    def _links(self) -> tuple[dict[int, list[Link]], dict[int, list[Link]]]:
        sources: dict[int, list[Link]] = defaultdict(list)
        targets: dict[int, list[Link]] = defaultdict(list)
        for (source, target), names in self.edges.items():
            sources[target].append(Link(self.nodes[source], names))
            targets[source].append(Link(self.nodes[target], names))
        return sources, targets

    def sources(self, number: int) -> Sequence[Link]:
        return self._links[0].get(number, ())

    def targets(self, number: int) -> Sequence[Link]:
        return self._links[1].get(number, ())


@dataclass(frozen=True, slots=True)
class OtherInput:
    """An input from outside this flow run: a parameter of the flow, a constant, or a run of another flow."""

    parameter: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """The chosen node, and the nodes that it takes data from and gives data to."""

    node: Node
    sources: Sequence[Link]
    targets: Sequence[Link]
    other_inputs: Sequence[OtherInput]
    upstream: int
    downstream: int
    run: TaskRun | None
    result: Result | None


def graph_of(*, run: FlowRun, apart: bool | None, opened: str, chosen: str) -> Graph:
    """Return the graph, with two queries. `apart` shows task runs instead of tasks; None chooses by their number."""
    task_runs = _task_runs(run)
    unread = len(task_runs) > TASK_RUNS_READ
    del task_runs[TASK_RUNS_READ:]
    subflows = FlowRun.objects.filter(parent_task_run__flow_run=run.id).only("id", "name", "parent_task_run_id")
    of_task = {one.parent_task_run_id.hex: one for one in subflows[:TASK_RUNS_READ] if one.parent_task_run_id}
    if apart is None:
        apart = len(task_runs) <= FEW_TASK_RUNS
    nodes = _apart(task_runs, opened) if apart else _by_task(task_runs)
    left_out = sum(node.number for node in nodes[NODES_DRAWN:])
    nodes = nodes[:NODES_DRAWN]
    for node in nodes:
        node.subflows = [of_task[one.key] for one in node.runs if one.key in of_task]
    edges, edges_left_out = _edges(nodes)
    number = next((number for number, node in enumerate(nodes) if chosen and node.key == chosen), None)
    return Graph(nodes, edges, number, apart, unread, left_out, edges_left_out)


def _task_runs(run: FlowRun) -> list[Run]:
    columns = ("name", "task_key", "state_type", "state_name", "total_run_time", Cast("task_inputs", TextField()))
    found = TaskRun.objects.filter(flow_run=run.id).order_by("created", "id")
    # Mapped runs have equal inputs, so each distinct text is parsed once.
    inputs: dict[str, Inputs] = {"{}": {}}
    task_runs = []
    for key, *others, text in found.values_list(Hex("id"), *columns)[: TASK_RUNS_READ + 1]:
        if text not in inputs:
            inputs[text] = json.loads(text)
        task_runs.append(Run._make((key, *others, inputs[text])))
    return task_runs


def _plain(run_id: str) -> str:
    """Return an id of inputs, which contains hyphens, in the form of `Hex`."""
    return run_id.replace("-", "").lower()


class Hex(Func):
    """An id as 32 digits: converting thousands of ids to UUIDs takes noticeable time."""

    template = "replace((%(expressions)s)::text, '-', '')"
    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="lower(hex(%(expressions)s))", **context)


def _by_task(task_runs: Iterable[Run]) -> list[Node]:
    nodes: dict[str, Node] = {}
    for run in task_runs:
        node = nodes.get(run.task_key)
        if node is None:
            node = nodes[run.task_key] = Node(run.task_key, run.name.rsplit("-", 1)[0] or run.task_key, run.task_key)
        _add(node, run)
    return list(nodes.values())


def _apart(task_runs: Sequence[Run], opened: str) -> list[Node]:
    """Return one node per task run while there is room, then one node per task."""
    by_key: dict[str, int] = defaultdict(int)
    for run in task_runs:
        by_key[run.task_key] += 1
    room, apart = TASK_RUNS_APART, {}
    for key, number in sorted(by_key.items(), key=lambda pair: (pair[0] != opened, pair[1])):
        apart[key] = min(number, room) if number <= room or key == opened else 0
        room -= apart[key]
    nodes: dict[str, Node] = {}
    for run in task_runs:
        if apart[run.task_key]:
            apart[run.task_key] -= 1
            key = str(run.id)
            node = nodes[key] = Node(key, run.name or key, run.task_key)
        else:
            node = nodes.setdefault(run.task_key, Node(run.task_key, run.name.rsplit("-", 1)[0], run.task_key))
        _add(node, run)
    return list(nodes.values())


def _add(node: Node, run: Run) -> None:
    node.runs.append(run)
    node.by_type[run.state_type or ""] = node.by_type.get(run.state_type or "", 0) + 1


def _edges(nodes: Sequence[Node]) -> tuple[dict[Edge, list[str]], int]:
    """Return the edges to draw, each with the parameters that pass along it, and how many are left out."""
    edges: dict[Edge, list[str]] = {}
    left_out: set[Edge] = set()
    for edge, parameter in _passed_values(nodes):
        if edge not in edges and len(edges) >= EDGES_DRAWN:
            left_out.add(edge)
            continue
        names = edges.setdefault(edge, [])
        if parameter not in names:
            names.append(parameter)
    return edges, len(left_out)


def _passed_values(nodes: Sequence[Node]) -> Iterator[tuple[Edge, str]]:
    """Yield each value that a task run takes from another one: the edge between their nodes, and the parameter."""
    numbers = {run.key: number for number, node in enumerate(nodes) for run in node.runs}
    for number, run in ((number, run) for number, node in enumerate(nodes) for run in node.runs):
        for parameter, sources in run.task_inputs.items():
            for source in sources:
                if source.get("input_type") == TASK_RUN and (other := numbers.get(_plain(source["id"]))) is not None:
                    yield (other, number), parameter


def chosen_of(*, graph: Graph) -> Chosen | None:
    """Return the content of the panel of the chosen node. At most three queries."""
    if graph.chosen is None:
        return None
    node = graph.nodes[graph.chosen]
    run = TaskRun.objects.filter(pk=node.run.id).first() if node.run else None
    drawn = {run.key for one in graph.nodes for run in one.runs}
    return Chosen(
        node,
        graph.sources(graph.chosen),
        graph.targets(graph.chosen),
        _other_inputs(node.run, drawn) if node.run else [],
        len(graph.upstream),
        len(graph.downstream),
        run,
        next(iter(result_of_task_run(run).results), None) if run else None,
    )


def _other_inputs(run: Run, drawn: set[str]) -> list[OtherInput]:
    return [
        OtherInput(parameter, source.get("input_type", ""), str(source.get("id") or source.get("name") or ""))
        for parameter, sources in run.task_inputs.items()
        for source in sources
        if source.get("input_type") != TASK_RUN or _plain(source["id"]) not in drawn
    ]
