"""How a flow run comes to be: arguments resolved and checked, its place under the parent flow, and the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from orionflow.calls.flow_runs import create_flow_run, read_flow_run, set_flow_run_state, update_flow_run
from orionflow.calls.flows import create_flow
from orionflow.client.transport import Patience
from orionflow.context import FlowRunContext, current_tags, in_flow_run
from orionflow.engine.api import Api, current_api
from orionflow.engine.children import end_children
from orionflow.engine.commands import checkpoint, is_paused, wait_until_resumed
from orionflow.engine.creation import Create
from orionflow.engine.effects import Do, Steps, WaitFor, send
from orionflow.engine.event_loops import running_loop
from orionflow.engine.inputs import Found, resolved_all
from orionflow.engine.interruption import Hold, Reason
from orionflow.engine.lineage import Lineage
from orionflow.engine.placeholders import Subflow, completed_before, ending_placeholder, placeholder_for
from orionflow.engine.reuse import digest_of_call, recall, why_not_compared
from orionflow.engine.run_calls import FlowCall
from orionflow.errors import ApiError, ApiUnreachable, InvalidRequest, UnserializableError, UsageError
from orionflow.flows import Flow
from orionflow.logging import RunLogger, flow_run_logger, logger_for_flow_run
from orionflow.parameters import described_parameters, recorded_parameters
from orionflow.processes import own_identity
from orionflow.recordable import as_text, recordable_tags
from orionflow.reporting.items import Answer
from orionflow.settings import current_settings
from orionflow.states import Cancelled, Crashed, Failed, Pending, State
from orionflow.values.enclosed import Enclosed
from orionflow.values.traversal import are_plain
from orionflow.wire import FlowRun

# For a run whose own thread does not end it.
IMPATIENCE = Patience(budget_seconds=2.0)
# The API shows a policy with all its fields; these values are those of a run that was given none.
UNSAID = {"crash_retries": 0, "overlap": "allow"}


class Begun:
    """A flow run that exists, and what its attempts need."""

    def __init__(
        self,
        flow: Flow[Any, Any],
        flow_run: FlowRun,
        parameters: dict[str, Any],
        api: Api,
        parent: FlowRunContext | None,
        *,
        is_made_here: bool = True,
    ) -> None:
        self.flow = flow
        self.flow_run = flow_run
        # By this call, so that nobody else tells how it ends.
        self.is_made_here = is_made_here
        self.parameters = parameters
        self.api = api
        self.parent = parent
        # The attempt that goes on.
        self.context: FlowRunContext | None = None
        self.hold: Hold | None = None
        self.is_abandoned = False
        self.enclosed = Enclosed()
        # The outcome of an attempt whose value could not be stored; the next attempt only stores it.
        self.unstored: State[Any] | None = None
        self.logger: RunLogger = logger_for_flow_run(flow_run.id, flow_run.name or "", flow.name)

    @property
    def name(self) -> str:
        return self.flow_run.name or self.flow.name

    @property
    def inner_context(self) -> FlowRunContext | None:
        return self.context

    def abandon(self, reason: Reason) -> None:
        """Record an end that the run does not report itself; what becomes of it later is not reported any more."""
        self.is_abandoned = True
        if self.context is not None:
            end_children(self.context, reason, grace=0)
        state: State[Any] = (Cancelled if reason.is_cancel else Crashed)(message=reason.message)
        try:
            with suppress(ApiUnreachable):
                self.api.reporter.drain(self.id, IMPATIENCE.budget_seconds)
            self.api.client.send(set_flow_run_state(self.id, state), patience=IMPATIENCE)
        except ApiError as trouble:
            self.logger.error("The end of the run as %s could not be reported: %s", state.name, trouble)

    def rename(self, name: str | None) -> None:
        self.flow_run = self.flow_run.model_copy(update={"name": name})
        self.logger = logger_for_flow_run(self.id, name or "", self.flow.name)

    @property
    def id(self) -> UUID:
        return self.flow_run.id

    @property
    def log_prints(self) -> bool:
        if self.flow.log_prints is not None:
            return self.flow.log_prints
        return self.parent.log_prints if self.parent else current_settings().logging_log_prints

    def count_attempt(self) -> None:
        """The rules let the run in once more."""
        self.flow_run = self.flow_run.model_copy(update={"run_count": self.flow_run.run_count + 1})

    def new_context(self) -> FlowRunContext:
        """The context of the next attempt: calls are counted from zero, so that their runs are found again."""
        return FlowRunContext(
            flow=self.flow,
            flow_run=self.flow_run,
            parameters=self.parameters,
            api=self.api,
            task_runner=self.flow.task_runner.duplicate(),
            parent=self.parent,
            log_prints=self.log_prints,
            loop=running_loop() if self.flow.is_async else None,
            enclosed=self.enclosed,
        )


def begin(call: FlowCall) -> Steps[Begun | State[Any]]:
    """Make the run that a call asks for. Returns a final state instead when there is nothing to run.

    That is so when its parameters are invalid, or when the parent is tried again and had completed this subflow.
    """
    parent = call.parent
    api = parent.api if parent else current_api()
    # The parameters of a run that exists came as JSON: no futures are among them.
    found = None if call.flow_run_id is not None else (yield from _take_inputs(call))
    if parent is None:
        return (yield from _begun(call, api, None))
    subflow = _subflow(call, parent, found)
    with ending_placeholder(parent, subflow):
        answer, parent_task_run_id = yield from placeholder_for(parent, subflow)
        if (done := (yield from _done_before(call, parent, answer))) is not None:
            return done
        return (yield from _begun(call, api, parent_task_run_id))


def _begun(call: FlowCall, api: Api, parent_task_run_id: UUID | None) -> Steps[Begun | State[Any]]:
    """The run itself, named, its parameters checked."""
    flow, parameters, is_existing = call.flow, call.kwargs, call.flow_run_id is not None
    problem: Exception | None = None
    name = None
    try:
        parameters = flow.validated(flow.signature.bound(call.args, call.kwargs))
        name = None if callable(flow.flow_run_name) else flow.name_for(parameters)
    except UsageError as error:
        # Where it was raised in here helps nobody.
        problem = error.with_traceback(None)
    run = yield from _flow_run(call, api, parameters, parent_task_run_id, problem or name)
    begun = Begun(flow, run, parameters, api, call.parent, is_made_here=not is_existing)
    if is_existing:
        problem = yield from _take_over(begun, problem)
    elif problem is None and callable(flow.flow_run_name):
        problem = yield from _name(begun)
    return begun if problem is None else _invalid(begun, problem)


def _take_over(begun: Begun, problem: Exception | None) -> Steps[Exception | None]:
    """A run that was made without its code learns at its first start what the code says of retries and its name."""
    flow, run, client = begun.flow, begun.flow_run, begun.api.client
    if problem is not None:
        yield send(client, set_flow_run_state(begun.id, Failed(message=str(problem))))
        return problem
    if run.run_count > 1:
        return None
    said = run.empirical_policy
    if missing := {key: value for key, value in flow.policy.items() if said.get(key) in (None, UNSAID.get(key))}:
        yield send(client, update_flow_run(begun.id, empirical_policy=missing))
    if flow.flow_run_name is None:
        return None
    return (yield from _name(begun))


def _name(begun: Begun) -> Steps[Exception | None]:
    """Have the user's function name the run, about which it may ask the runtime; what it raised, if it did."""
    try:
        with in_flow_run(begun.new_context()):
            name = begun.flow.name_for(begun.parameters)
    except Exception as error:
        failed: State[Any] = Failed(message=f"flow_run_name raised {type(error).__name__}: {as_text(error)}")
        yield send(begun.api.client, set_flow_run_state(begun.id, failed))
        return error
    if name is None:
        return None
    try:
        yield send(begun.api.client, update_flow_run(begun.id, name=name))
    except InvalidRequest as refusal:
        begun.logger.warning("The run keeps its name: %s", refusal)
        return None
    begun.rename(name)
    return None


def _take_inputs(call: FlowCall) -> Steps[Found | None]:
    """Put values where futures are among the arguments, and learn which task runs they came from."""
    parent = call.parent
    if parent is not None:
        checkpoint(parent)
        if is_paused(parent):
            yield from wait_until_resumed(parent)
    if not call.wait_for and are_plain(call.args) and are_plain(call.kwargs.values()) and parent is None:
        return None
    found = Found(parent.lineage if parent else Lineage())
    for name, value in call.flow.signature.given(call.args, call.kwargs).items():
        found.look_through(name, value)
    found.look_through("wait_for", call.wait_for or [])
    if found.pending:
        yield WaitFor(found.pending)
    args, call.kwargs = resolved_all([*call.args, *(call.wait_for or ())], call.kwargs)
    call.args = tuple(args[: len(call.args)])
    return found


def _subflow(call: FlowCall, parent: FlowRunContext, found: Found | None) -> Subflow:
    flow = call.flow
    sources = parent.stored_sources(found.sources) if found is not None else None
    subflow = Subflow(flow.flow_key, flow.name, flow.version, sources, _inputs(call, parent), call.new_run_id)
    subflow.created = call.created
    return subflow


def _inputs(call: FlowCall, parent: FlowRunContext) -> str | None:
    """By what the parent's next attempt finds the subflow; None where no result will be stored, or none compared."""
    flow = call.flow
    if not flow.stores_results(wanted_by_parent=parent.keeps_results, by_default=parent.persists_by_default):
        return None
    try:
        return digest_of_call(
            parent, flow.fn, flow.signature.bound(call.args, call.kwargs), key=flow.flow_key, version=None
        )
    except UnserializableError as error:
        if parent.is_repeated:
            flow_run_logger(parent).info("%s", why_not_compared(error))
        return None


def _done_before(call: FlowCall, parent: FlowRunContext, answer: Answer) -> Steps[State[Any] | None]:
    """The final state of the subflow run that an earlier attempt of the parent completed, with its result."""
    state = completed_before(parent, answer)
    child = state.state_details.child_flow_run_id if state is not None else None
    if child is None:
        return None
    run = yield send(parent.client, read_flow_run(child))
    done: State[Any] | None = run.state
    if done is None or not done.is_completed() or done.data is None:
        return None
    if (why := (yield Do(recall, done))) is not None:
        flow_run_logger(parent).warning(
            "The stored result of the run %s of flow %r cannot be read (%s), so it runs.", run.name, call.flow.name, why
        )
        return None
    return done


def _flow_run(
    call: FlowCall,
    api: Api,
    parameters: dict[str, Any],
    parent_task_run_id: UUID | None,
    name: str | Exception | None,
) -> Steps[FlowRun]:
    """The run as the API made it; with an exception for its name it is one that cannot begin."""
    flow = call.flow
    if call.flow_run_id is not None:
        existing: FlowRun = yield Create(call.created, api.client.send, read_flow_run(call.flow_run_id))
        # As with a new run: the count that it will have once it is RUNNING.
        return existing.model_copy(update={"run_count": existing.run_count + 1})
    stored, changes = recorded_parameters(parameters)
    stored_flow = yield send(api.client, create_flow(flow.name))
    create = partial(
        create_flow_run,
        stored_flow.id,
        id=call.new_run_id,
        flow_version=flow.version,
        state=Failed(message=str(name)) if isinstance(name, Exception) else Pending(),
        empirical_policy=flow.policy or None,
        parent_task_run_id=parent_task_run_id,
        process=own_identity(),
    )
    tags = recordable_tags(current_tags() | flow.tags)
    refusal = None
    try:
        run: FlowRun = yield Create(
            call.created,
            api.client.send,
            create(name=None if isinstance(name, Exception) else name, parameters=stored, tags=tags),
        )
    except InvalidRequest as error:
        # Whatever the API has against what is only shown of a run: the work goes on.
        refusal = error
        run = yield Create(call.created, api.client.send, create(parameters=described_parameters(parameters)))
    _tell_changes(run, flow, changes, refusal)
    return run.model_copy(update={"run_count": 1})


def _tell_changes(run: FlowRun, flow: Flow[Any, Any], changes: Mapping[str, str], refusal: Exception | None) -> None:
    """Say in the run's log what is shown of it otherwise than it was."""
    if not changes and refusal is None:
        return
    logger = logger_for_flow_run(run.id, run.name or "", flow.name)
    for parameter, why in changes.items():
        logger.info("Parameter %r is recorded in a changed form: %s.", parameter, why)
    if refusal:
        logger.warning(
            "The run is recorded without its name and tags, and with the types of its parameters alone: %s", refusal
        )


def _invalid(begun: Begun, problem: Exception) -> State[Any]:
    begun.logger.error("%s The run ends as Failed.", problem)
    state: State[Any] = Failed(message=str(problem), value=problem)
    state.amend_details(flow_run_id=begun.id)
    if begun.parent is not None:
        begun.parent.state_counts.add(state)
    return state
