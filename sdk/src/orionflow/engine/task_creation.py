"""Create a task run: early, when it is called, or at its start, where its inputs or the API's answer come first.

A run whose result may be stored is identified by its inputs, so that a later attempt of the flow run finds it.
"""

from __future__ import annotations

import logging
from typing import Any

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
    """Report the run as soon as it is called, if that needs no answer and its key no inputs that are still to come."""
    flow_run = call.flow_run
    if flow_run.is_repeated or flow_run.strict or (_has_input_key(call) and not _identify_now(call)):
        return
    report_creation(call)


def _has_input_key(call: TaskCall) -> bool:
    """Tell whether a later attempt may look for what this run did. Costs next to nothing where none will."""
    return call.flow_run.keeps_results or call.task.may_store_results(call.flow_run)


def _identify_now(call: TaskCall) -> bool:
    """Identify the run by its inputs, unless one of them is still to come, or failed."""
    if not call.is_resolved:
        assert call.inputs is not None
        try:
            if call.inputs.pending or _resolve(call) is not None:
                return False
        except Exception as error:
            # It ends the run, which is about to meet it again, and not the code that calls it.
            logger.debug("The value of an input of %s cannot be had.", call.name, exc_info=error)
            return False
    _identify(call)
    return True


def _identify(call: TaskCall) -> None:
    """Have the next attempt of the flow run find this run by its task and inputs."""
    task, flow_run = call.task, call.flow_run
    try:
        call.compared = Inputs(flow_run, task.fn, call.parameters, key=task.task_key, version=task.version)
        call.dynamic_key = counted(flow_run, task.task_key, call.compared.digest)
        call.is_identified = True
    except UnserializableError as error:
        if flow_run.is_repeated:
            logger_of(call).info("%s", why_not_compared(error))


def create_at_start(call: TaskCall) -> Steps[State[Any] | None]:
    """Create the run where that had to wait for its inputs. Returns the NotReady state when one has no value."""
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
    """Create the run and wait for the answer: in a repeated attempt it may exist, under another id, and have ended."""
    mine = call.id
    # Also where the answer is not waited for: an end that is reported later arrives after the creation.
    call.is_created = True
    answer = yield Ask(call.flow_run.reporter, call.creation())
    is_asked = call.flow_run.recorded is not None
    if is_done(answer) and not is_asked and (call.refreshes or not call.is_identified):
        # Its result may be of other inputs, or is not wanted.
        call.renew()
        answer = yield Ask(call.flow_run.reporter, call.creation())
    call.id = answer.task_run_id or call.id
    call.state = answer.state
    if call.id != mine:
        call.flow_run.stored_ids[mine] = call.id


def resolve_inputs(call: TaskCall) -> Steps[State[Any] | None]:
    """Wait for futures among the arguments and put their values there. Returns NotReady when one has none."""
    assert call.inputs is not None
    if pending := call.inputs.pending:
        yield WaitFor(pending)
    return _resolve(call)


def _resolve(call: TaskCall) -> State[Any] | None:
    try:
        args, kwargs = resolved_all([*call.args, *(call.wait_for or ())], call.kwargs)
    except UpstreamFailed as error:
        state = call.new_state(StateType.PENDING, "NotReady", str(error))
        # Where it was raised in here helps nobody.
        state.value = error.with_traceback(None)
        return state
    call.resolve_to(args[: len(call.args)], kwargs)
    return None
