"""Calls of tasks and flows, each with everything that the engine has to know about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.context import FlowRunContext, current_tags
from orionflow.contract.ids import uuid7
from orionflow.engine.inputs import Found
from orionflow.engine.interruption import Hold, Reason
from orionflow.engine.recorded import Recorded, current_source
from orionflow.recordable import recordable_sources, recordable_tags
from orionflow.reporting.items import Transition
from orionflow.states import State, StateType
from orionflow.values.traversal import are_plain

if TYPE_CHECKING:
    from orionflow.engine.active_flow_run import ActiveFlowRun
    from orionflow.engine.reuse import Inputs
    from orionflow.flows import Flow
    from orionflow.futures import Future
    from orionflow.tasks import Task
    from orionflow.wire import FlowRun, TaskRun


class TaskCall:
    """One call of a task, with its run."""

    __slots__ = (
        "_parameters",
        "args",
        "compared",
        "dynamic_key",
        "flow_run",
        "future",
        "has_reported_end",
        "id",
        "inputs",
        "is_abandoned",
        "is_created",
        "is_identified",
        "is_resolved",
        "kwargs",
        "name",
        "place",
        "refreshes",
        "run_count",
        "state",
        "tags",
        "task",
        "unstored",
        "wait_for",
    )

    def __init__(
        self,
        task: Task[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        flow_run: FlowRunContext,
        wait_for: Sequence[Any] | None = None,
        sources: Mapping[str, list[dict[str, Any]]] | None = None,
    ) -> None:
        self.task: Task[Any, Any] = task
        self.args = args
        self.kwargs = kwargs
        self.flow_run = flow_run
        self.wait_for = wait_for
        self.id = uuid7()
        self.dynamic_key = flow_run.next_key(task.task_key)
        self.name: str = f"{task.name}-{self.dynamic_key}"
        self.inputs = inputs_of(task, args, kwargs, flow_run, wait_for, sources)
        self.tags: frozenset[str] = _tags_of(task)
        self.run_count: int = 0
        self.state: State[Any] | None = None
        self.future: Future[Any] | None = None
        # The function that a runner calls instead of calling the user's function here.
        self.place: Callable[..., Any] | None = None
        self.is_created = False
        self.is_abandoned = False
        # Whether its last step is reported, although hooks may still go on.
        self.has_reported_end = False
        # Whether the futures among the arguments have been replaced by their values.
        self.is_resolved = self.inputs is None
        # Whether the dynamic key contains the digest of the inputs.
        self.is_identified = False
        # The inputs before the function is called, which may change them.
        self.compared: Inputs | None = None
        self.refreshes = bool(task.refresh_cache)
        # The outcome of an attempt whose value could not be stored; the next attempt only stores it.
        self.unstored: State[Any] | None = None
        self._parameters: dict[str, Any] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments by parameter, including defaults; resolved once the run has started."""
        if self._parameters is None:
            self._parameters = self.task.signature.bound(self.args, self.kwargs)
        return self._parameters

    def resolve_to(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Replace the arguments by others in which futures have been replaced by their values."""
        self.args, self.kwargs, self._parameters = tuple(args), kwargs, None
        self.is_resolved = True

    def renew(self) -> None:
        """Give this run a new id and key, because the stored run under its key cannot be used."""
        self.id = uuid7()
        self.dynamic_key = f"{self.dynamic_key}-{self.id.hex}"

    def creation(self) -> Transition:
        """Return the step that creates the run, as PENDING."""
        task = self.task
        create: dict[str, Any] = {
            **task.run_template,
            "flow_run_id": self.flow_run.id,
            "dynamic_key": self.dynamic_key,
            "name": self.name,
        }
        if self.tags:
            create["tags"] = recordable_tags(self.tags)
        if self.inputs is not None and self.inputs.sources:
            create["task_inputs"] = recordable_sources(self.flow_run.stored_sources(self.inputs.sources))
        # The inputs that a run waits for must be recorded before it starts.
        gathers = self.inputs is None or not self.inputs.pending
        return Transition(self.id, create, self.new_state(StateType.PENDING), False, self.flow_run.id, gathers)

    def new_state(self, kind: StateType, name: str = "", message: str | None = None) -> State[Any]:
        return State(
            type=kind,
            name=name,
            message=message,
            timestamp=datetime.now(UTC),
            id=uuid7(),
        )

    def step(self, state: State[Any], *, force: bool = False) -> Transition:
        """Return the step that moves the run to a state."""
        return Transition(self.id, None, state.without_value(), force, self.flow_run.id)

    @property
    def inner_context(self) -> None:
        return None

    def abandon(self, reason: Reason) -> None:
        """Record a final state for a run that does not report one itself; later reports of the run are dropped."""
        if self.has_reported_end and self.state is not None:
            self.is_abandoned = True
            if self.future is not None:
                self.future.settle(self.state)
            return
        kind = StateType.CANCELLED if reason.is_cancel else StateType.CRASHED
        state = self.new_state(kind, message=reason.message)
        if self.is_created and not self.is_abandoned:
            self.flow_run.api.reporter.stream(self.step(state))
        self.is_abandoned = True
        if self.future is not None and self.future.settle(state):
            self.flow_run.state_counts.add(state)

    def as_task_run(self) -> TaskRun:
        """Return the run as the API would describe it now."""
        from orionflow.wire import TaskRun

        state = self.state
        return TaskRun.model_construct(
            id=self.id,
            name=self.name,
            flow_run_id=self.flow_run.id,
            task_key=self.task.task_key,
            dynamic_key=self.dynamic_key,
            task_version=self.task.version,
            tags=recordable_tags(self.tags),
            task_inputs={} if self.inputs is None else self.inputs.sources,
            empirical_policy=dict(self.task.policy),
            run_count=self.run_count,
            flow_run_run_count=self.flow_run.flow_run.run_count,
            state=state,
            state_id=state and state.id,
            state_type=state and state.type,
            state_name=state and state.name,
        )


def _tags_of(task: Task[Any, Any]) -> frozenset[str]:
    around = current_tags()
    return (task.tags | around if task.tags else around) if around else task.tags


def inputs_of(
    task: Task[Any, Any] | Flow[Any, Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    flow_run: FlowRunContext,
    wait_for: Iterable[Any] | None,
    sources: Mapping[str, list[dict[str, Any]]] | None = None,
) -> Found | None:
    """Return the runs that the arguments come from; None if there are none, which is the usual case."""
    links = flow_run.lineage
    plain = not wait_for and not sources and are_plain(args) and are_plain(kwargs.values())
    # A plain value may still have been returned by a task.
    if plain and not any(links.source_of(value) for value in (*args, *kwargs.values())):
        return None
    found = Found(links)
    if sources:
        found.sources.update(sources)
    for name, value in task.signature.given(args, kwargs).items():
        found.look_through(name, value)
    if wait_for is not None:
        found.look_through("wait_for", list(wait_for))
    return found


class FlowCall:
    """One call of a flow, with its run, and under a parent flow also the task run that represents it there."""

    __slots__ = (
        "active", "args", "compared", "created", "existing", "flow", "flow_run_id", "hold", "is_ending", "kwargs",
        "may_exist", "new_run_id", "parent", "recorded", "wait_for",
    )  # fmt: skip

    def __init__(
        self,
        flow: Flow[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Sequence[Any] | None = None,
        flow_run_id: UUID | None = None,
    ) -> None:
        self.flow = flow
        self.args = args
        self.kwargs = kwargs
        self.wait_for = wait_for
        # The id of an existing run, such as one of a deployment; otherwise a new run is created.
        self.flow_run_id = flow_run_id
        # The existing run, if it was already read.
        self.existing: FlowRun | None = None
        self.new_run_id = uuid7()
        # The inputs before the function is called, if a later attempt of the parent may look for them.
        self.compared: Inputs | None = None
        self.parent = FlowRunContext.known()
        # A nested flow gets its source from the flow around it.
        self.recorded: Recorded | None = current_source() if self.parent is None else None
        # Whether the API was asked for the run; the run, once it answered; and whether it has begun to report its end.
        self.may_exist = False
        self.created: list[FlowRun] = []
        self.active: ActiveFlowRun | None = None
        self.is_ending = False
        # Set before the run is created, so that it ends as well if the run around it ends at that moment.
        self.hold: Hold | None = None

    @property
    def is_outermost(self) -> bool:
        """Whether no flow run around it is in this process."""
        return self.parent is None or self.parent.is_of_parent

    @property
    def name(self) -> str:
        return self.flow.name if self.active is None else self.active.name

    @property
    def inner_context(self) -> FlowRunContext | None:
        return None if self.active is None else self.active.context

    def abandon(self, reason: Reason) -> None:
        """Record a final state for the run, if there is one, as it does not report one itself."""
        if self.active is not None:
            self.active.abandon(reason)
