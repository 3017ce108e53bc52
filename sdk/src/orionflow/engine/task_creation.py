"""Creation of a task run: early, when it is called, or at its start, if it must wait for inputs or the API's answer.

A run whose result may be stored is identified by its inputs, so that a later attempt of the flow run finds it.
"""

from __future__ import annotations

import logging
from typing import Any

from orionflow.contract.states import NOT_READY
from orionflow.engine.creation import report_creation
from orionflow.engine.effects import Ask, Steps, WaitFor
from orionflow.engine.failures import logger_of
from orionflow.engine.inputs import resolved_all
from orionflow.engine.reuse import Inputs, counted, is_done, why_not_compared
from orionflow.engine.run_calls import TaskCall
from orionflow.errors import UnserializableError, UpstreamFailed
from orionflow.states import State, StateType

logger = logging.getLogger("orionflow.task_runs")


def create_at_call(call: TaskCall) -> None:
    """Report the run when it is called, if no answer is needed and its key depends on no input that is missing."""
    flow_run = call.flow_run
    if flow_run.is_repeated or flow_run.strict or (_has_input_key(call) and not _identify_now(call)):
        return
    report_creation(call)


def _has_input_key(call: TaskCall) -> bool:
    """Whether a later attempt may look for the result of this run. Cheap if none will."""
    return call.flow_run.keeps_results or call.task.may_store_results(call.flow_run)


def _identify_now(call: TaskCall) -> bool:
    """Identify the run by its inputs and return True, unless one of them is still missing or failed."""
    if not call.is_resolved:
        assert call.inputs is not None
        try:
            if call.inputs.pending or _resolve(call) is not None:
                return False
        except Exception as error:
            # The error ends the run, which will meet it again; it must not reach the calling code.
            logger.debug("The value of an input of %s cannot be had.", call.name, exc_info=error)
            return False
    _identify(call)
    return True


def _identify(call: TaskCall) -> None:
    """Let the next attempt of the flow run find this run by its task and inputs."""
    task, flow_run = call.task, call.flow_run
    try:
        call.compared = Inputs(flow_run, task.fn, call.parameters, key=task.task_key, version=task.version)
        call.dynamic_key = counted(flow_run, task.task_key, call.compared.digest)
        call.is_identified = True
    except UnserializableError as error:
        if flow_run.is_repeated:
            logger_of(call).info("%s", why_not_compared(error))


def create_at_start(call: TaskCall) -> Steps[State[Any] | None]:
    """Create the run if that had to wait for its inputs. Return the NotReady state if one of them has no value."""
    not_ready: State[Any] | None = None
    if _has_input_key(call):
        if not call.is_resolved:
            not_ready = yield from resolve_inputs(call)
        if not_ready is None:
            _identify(call)
    if call.flow_run.is_repeated or call.flow_run.strict:
        yield from _create_or_find(call)
    else:
        report_creation(call)
    return not_ready


def _create_or_find(call: TaskCall) -> Steps[None]:
    """Create the run and wait for the answer: in a repeated attempt it may exist under another id, and have ended."""
    mine = call.id
    # Set even before the answer: an end that is reported later arrives after the creation.
    call.is_created = True
    answer = yield Ask(call.flow_run.reporter, call.creation())
    is_asked = call.flow_run.recorded is not None
    if is_done(answer) and not is_asked and (call.refreshes or not call.is_identified):
        # Its result may belong to other inputs, or the task asks for a new one.
        call.renew()
        answer = yield Ask(call.flow_run.reporter, call.creation())
    call.id = answer.task_run_id or call.id
    call.state = answer.state
    if call.id != mine:
        call.flow_run.stored_ids[mine] = call.id


def resolve_inputs(call: TaskCall) -> Steps[State[Any] | None]:
    """Wait for futures among the arguments and replace them by their values. Return NotReady if one has no value."""
    assert call.inputs is not None
    if pending := call.inputs.pending:
        yield WaitFor(pending)
    return _resolve(call)


def _resolve(call: TaskCall) -> State[Any] | None:
    try:
        args, kwargs = resolved_all([*call.args, *(call.wait_for or ())], call.kwargs)
    except UpstreamFailed as error:
        state = call.new_state(StateType.PENDING, NOT_READY, str(error))
        # The traceback inside Orion does not help the user.
        state.value = error.with_traceback(None)
        return state
    call.resolve_to(args[: len(call.args)], kwargs)
    return None
