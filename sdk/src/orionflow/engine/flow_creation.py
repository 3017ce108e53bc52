"""Creation of a flow run: resolve and check its arguments, find its placeholder in the parent flow, create the run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from orionflow import tracing
from orionflow.calls.flow_runs import create_flow_run, read_flow_run, set_flow_run_state, update_flow_run
from orionflow.calls.flows import create_flow
from orionflow.context import FlowRunContext, current_tags, in_flow_run
from orionflow.engine.active_flow_run import ActiveFlowRun
from orionflow.engine.api import Api, current_api
from orionflow.engine.commands import checkpoint, is_paused, wait_until_resumed
from orionflow.engine.creation import Create
from orionflow.engine.effects import Do, Steps, WaitFor, send
from orionflow.engine.environments import environment_for
from orionflow.engine.forked_children import ParentContinues
from orionflow.engine.inputs import Found, resolved_all
from orionflow.engine.lineage import Lineage
from orionflow.engine.placeholders import Subflow, completed_before, ending_placeholder, placeholder_for, recorded_for
from orionflow.engine.reuse import Inputs, recall, why_not_compared
from orionflow.engine.run_calls import FlowCall
from orionflow.errors import InvalidRequest, UnserializableError, UpstreamFailed, UsageError
from orionflow.flows import Flow
from orionflow.logging import flow_run_logger, logger_for_flow_run
from orionflow.options.parameters import described_parameters, recorded_parameters
from orionflow.processes import own_identity
from orionflow.recordable import as_text, recordable_tags
from orionflow.reporting.items import Answer
from orionflow.states import Failed, NotReady, Pending, State
from orionflow.values.traversal import are_plain
from orionflow.wire import FlowRun

# The API returns a policy with all its fields; these are the values in a run that was created without them.
DEFAULT_POLICY = {"crash_retries": 0, "overlap": "allow"}


def create_run(call: FlowCall) -> Steps[ActiveFlowRun | State[Any]]:
    """Create the run that a call asks for. Return a state instead if there is nothing to run.

    There is nothing to run if the parameters are invalid, if an earlier attempt of the parent completed this subflow,
    or if an input of this subflow did not complete.
    """
    parent = call.parent
    api = parent.api if parent else current_api()
    # The parameters of an existing run came as JSON, so they contain no futures.
    try:
        found = None if call.flow_run_id is not None else (yield from _take_inputs(call))
    except UpstreamFailed as error:
        if parent is None:
            raise
        return _not_ready(parent, error)
    if parent is None:
        return (yield from _create(call, api, None))
    sources = parent.stored_sources(found.sources) if found is not None else None
    flow = call.flow
    call.compared = _compared(call, parent)
    inputs = None if call.compared is None else call.compared.digest
    subflow = Subflow(flow.flow_key, flow.name, flow.version, sources, inputs, call.new_run_id)
    subflow.created = call.created
    with ending_placeholder(parent, subflow):
        answer, parent_task_run_id = yield from placeholder_for(parent, subflow)
        recorded = yield from recorded_for(parent, subflow, answer)
        if isinstance(recorded, State):
            return recorded
        if recorded is None and (done := (yield from _completed_before(call, parent, answer))) is not None:
            return done
        if parent.recorded is not None:
            parent.recorded.begins(call)
            call.recorded = yield Do(parent.recorded.inside, subflow.key, subflow.dynamic_key, answer.state)
        return (yield from _create(call, api, parent_task_run_id))


def _create(call: FlowCall, api: Api, parent_task_run_id: UUID | None) -> Steps[ActiveFlowRun | State[Any]]:
    """Create the run itself, with its name and its validated parameters."""
    flow, parameters, existing_id = call.flow, call.kwargs, call.flow_run_id
    problem: Exception | None = None
    name = None
    try:
        parameters = flow.validated(flow.signature.bound(call.args, call.kwargs))
        name = None if callable(flow.flow_run_name) else flow.name_for(parameters)
    except UsageError as error:
        # The traceback inside Orion does not help the user.
        problem = error.with_traceback(None)
    if existing_id is None:
        run = yield from _new_run(call, api, parameters, parent_task_run_id, name=name, problem=problem)
    else:
        run = yield from _existing_run(call, api, existing_id)
        if call.recorded is None and run.empirical_policy.get("retried_from_task"):
            # Imported here, because few runs are retried from one of their tasks.
            from orionflow.engine.retried_runs import source_of

            call.recorded = yield Do(source_of, api.client, run.id)
    active = ActiveFlowRun(
        flow, run, parameters, api, call.parent, is_made_here=existing_id is None, recorded=call.recorded
    )
    active.compared = call.compared
    if existing_id is not None:
        problem = yield from _adopt(active, problem)
    elif problem is None and callable(flow.flow_run_name):
        problem = yield from _name(active)
    return active if problem is None else _invalid(active, problem)


def _adopt(active: ActiveFlowRun, problem: Exception | None) -> Steps[Exception | None]:
    """Give a run that was created without its code, such as a scheduled one, the code's retries and name."""
    flow, run, client = active.flow, active.flow_run, active.api.client
    if problem is not None:
        yield send(client, set_flow_run_state(active.id, Failed(message=str(problem))))
        return problem
    if run.run_count > 1:
        return None
    policy = run.empirical_policy
    if missing := {
        key: value for key, value in flow.policy.items() if policy.get(key) in (None, DEFAULT_POLICY.get(key))
    }:
        yield send(client, update_flow_run(active.id, empirical_policy=missing))
    if flow.flow_run_name is None:
        return None
    return (yield from _name(active))


def _name(active: ActiveFlowRun) -> Steps[Exception | None]:
    """Name the run by the user's function, which may use the runtime. Return the exception of that function, if any."""
    try:
        with in_flow_run(active.new_context()), ParentContinues():
            name = active.flow.name_for(active.parameters)
    except Exception as error:
        failed: State[Any] = Failed(message=f"flow_run_name raised {type(error).__name__}: {as_text(error)}")
        yield send(active.api.client, set_flow_run_state(active.id, failed))
        return error
    if name is None:
        return None
    try:
        yield send(active.api.client, update_flow_run(active.id, name=name))
    except InvalidRequest as refusal:
        active.logger.warning("The run keeps its name: %s", refusal)
        return None
    active.rename(name)
    return None


def _take_inputs(call: FlowCall) -> Steps[Found | None]:
    """Replace futures among the arguments by their values. Return the task runs that they came from."""
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


def _not_ready(parent: FlowRunContext, error: UpstreamFailed) -> State[Any]:
    """Return the state of a subflow that does not start. It is not recorded, because the subflow would never end."""
    # The traceback inside Orion does not help the user.
    state: State[Any] = NotReady(message=str(error), value=error.with_traceback(None))
    parent.state_counts.add(state)
    return state


def _compared(call: FlowCall, parent: FlowRunContext) -> Inputs | None:
    """Return the inputs by which the parent's next attempt finds the subflow.

    Return None if no result will be stored, or if the inputs cannot be compared.
    """
    flow = call.flow
    if not flow.stores_results(wanted_by_parent=parent.keeps_results, by_default=parent.persists_by_default):
        return None
    try:
        return Inputs(parent, flow.fn, flow.signature.bound(call.args, call.kwargs), key=flow.flow_key)
    except UnserializableError as error:
        if parent.is_repeated:
            flow_run_logger(parent).info("%s", why_not_compared(error))
        return None


def _completed_before(call: FlowCall, parent: FlowRunContext, answer: Answer) -> Steps[State[Any] | None]:
    """Return the final state of a subflow run that an earlier attempt of the parent completed, with its result."""
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
            "The stored result of the run %s of flow %r cannot be used (%s), so it runs.", run.name, call.flow.name, why
        )
        return None
    return done


def _existing_run(call: FlowCall, api: Api, run_id: UUID) -> Steps[FlowRun]:
    run = call.existing
    if run is None:
        run = yield Create(call.created, api.client.send, read_flow_run(run_id))
    else:
        call.created.append(run)
    # Like a new run: with the count that it will have once it is RUNNING.
    return run.model_copy(update={"run_count": run.run_count + 1})


def _new_run(
    call: FlowCall,
    api: Api,
    parameters: dict[str, Any],
    parent_task_run_id: UUID | None,
    *,
    name: str | None,
    problem: Exception | None,
) -> Steps[FlowRun]:
    """Create the run at the API, as Failed if there is a problem with its parameters or its name."""
    flow = call.flow
    stored, changes = recorded_parameters(parameters)
    stored_flow = yield send(api.client, create_flow(flow.name))
    create = partial(
        create_flow_run,
        stored_flow.id,
        id=call.new_run_id,
        flow_version=flow.version,
        state=Pending() if problem is None else Failed(message=str(problem)),
        empirical_policy=flow.policy or None,
        parent_task_run_id=parent_task_run_id,
        context=tracing.carried(),
        process=own_identity(),
        environment_id=environment_for(flow),
    )
    tags = recordable_tags(current_tags() | flow.tags)
    refusal = None
    call.may_exist = True
    try:
        run: FlowRun = yield Create(
            call.created,
            api.client.send,
            create(name=name, parameters=stored, tags=tags),
        )
    except InvalidRequest as error:
        # The API refused fields that are only displayed; they are described instead, so that the run can continue.
        refusal = error
        run = yield Create(call.created, api.client.send, create(parameters=described_parameters(parameters)))
    _log_changes(run, flow, changes, refusal)
    return run.model_copy(update={"run_count": 1})


def _log_changes(run: FlowRun, flow: Flow[Any, Any], changes: Mapping[str, str], refusal: Exception | None) -> None:
    """Log which parameters, tags or name are recorded in another form than given."""
    if not changes and refusal is None:
        return
    logger = logger_for_flow_run(run.id, run.name or "", flow.name)
    for parameter, why in changes.items():
        logger.info("Parameter %r is recorded in a changed form: %s.", parameter, why)
    if refusal:
        logger.warning(
            "The run is recorded without its name and tags, and with the types of its parameters alone: %s", refusal
        )


def _invalid(active: ActiveFlowRun, problem: Exception) -> State[Any]:
    active.logger.error("%s The run ends as Failed.", problem)
    state: State[Any] = Failed(message=str(problem), value=problem)
    state.amend_details(flow_run_id=active.id)
    if active.parent is not None:
        active.parent.state_counts.add(state)
    return state
