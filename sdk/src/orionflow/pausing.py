"""Pausing and suspending flow runs until a user resumes them, with an answer if the pause asks for one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar, overload
from uuid import UUID

from orionflow.calls.flow_runs import resume_flow_run as resume
from orionflow.calls.flow_runs import set_flow_run_state
from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.contract.ids import uuid7
from orionflow.engine.api import current_client
from orionflow.engine.commands import RunSuspended, stop, wait_until_resumed
from orionflow.engine.drivers import drive_or_await
from orionflow.engine.effects import Do, Sleep, Steps, WaitFor, send
from orionflow.engine.final_state import futures_in
from orionflow.errors import MissingContext, OrchestrationRefused
from orionflow.input.kinds import content_of
from orionflow.input.questions import AnswerRefused, Question, ask_again, question_of
from orionflow.logging import flow_run_logger
from orionflow.options.checks import checked_run_id
from orionflow.states import Paused, State, Suspended
from orionflow.wire import OrchestrationResult

T = TypeVar("T")


@overload
def pause_flow_run(
    wait_for_input: type[T],
    timeout: float | None = 3600,
    poll_interval: float = 10,
    key: str | None = None,
    wait_for: Any = None,
) -> T: ...
@overload
def pause_flow_run(
    wait_for_input: Any = None,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    key: str | None = None,
    wait_for: Any = None,
) -> Any: ...
def pause_flow_run(
    wait_for_input: Any = None,
    timeout: float | None = 3600,
    poll_interval: float = 10,
    key: str | None = None,
    wait_for: Any = None,
) -> Any:
    """Pause the current flow run until a user or a program resumes it, on its page or with `orion flow-run resume`.

    ```python
    from orionflow import flow, pause_flow_run

    @flow
    def publish() -> str:
        approved = pause_flow_run(wait_for_input=bool, timeout=24 * 3600)
        return "published" if approved else "dropped"
    ```

    - `wait_for_input`: a type, or a model such as a `RunInput`. The run can then be resumed only with an answer that
      fits, which is returned.
    - `timeout`: after how many seconds the run fails if it was not resumed (default: an hour; `None`: never).
    - `poll_interval`: how often to ask whether it was resumed, in seconds (default: 10).
    - `key`: a name for this pause. A retry of the flow passes pauses that were resumed before; by default they are
      known by their order.
    - `wait_for`: futures to wait for first. Submitted task runs always end first.

    The process keeps running; `suspend_flow_run` ends it. In async flows: `await pause_flow_run()`.

    Raises `MissingContext` outside of a flow and inside a task, and `OrchestrationRefused` if the run may not be
    paused.
    """
    context = _own_flow_run("pause")
    state = Paused(timeout_seconds=timeout, pause_key=key or context.next_pause_key(), id=uuid7())
    return drive_or_await(_paused(context, state, question_of(state, wait_for_input), poll_interval, wait_for))


@overload
def suspend_flow_run(
    wait_for_input: type[T],
    flow_run_id: None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> T: ...
@overload
def suspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> Any: ...
def suspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = 3600,
    key: str | None = None,
) -> Any:
    """End the process of the current flow run. When the run is resumed, an agent starts it again.

    The function is then called from its beginning. This call, and tasks whose values are stored, are passed: give tasks
    that must not be repeated `persist_result=True`. Only runs of deployments can be suspended. In coroutines, await it.

    - `wait_for_input`: a type, or a model such as a `RunInput`, that the answer must fit. The second call returns it.
    - `flow_run_id`: suspend this other run, at its next task.
    - `timeout`: after how many seconds the run fails if it was not resumed (default: an hour; `None`: never).
    - `key`: a name for this pause; by default pauses are known by their order.

    Raises `MissingContext` outside of a flow and inside a task, and `OrchestrationRefused` if the run may not be
    suspended.
    """
    if flow_run_id is not None:
        state = Suspended(timeout_seconds=timeout, pause_key=key or str(uuid7()), id=uuid7())
        return drive_or_await(
            _suspended_elsewhere(checked_run_id(flow_run_id), state, question_of(state, wait_for_input))
        )
    context = _own_flow_run("suspend")
    state = Suspended(timeout_seconds=timeout, pause_key=key or context.next_pause_key(), id=uuid7())
    return drive_or_await(_suspended(context, state, question_of(state, wait_for_input)))


def _own_flow_run(verb: str) -> FlowRunContext:
    context = FlowRunContext.get()
    if context is None:
        raise MissingContext(
            f"There is no flow run to {verb} here; call {verb}_flow_run() in a function decorated with @flow."
        )
    if TaskRunContext.get() is not None:
        raise MissingContext(f"A task cannot {verb} its flow run; call {verb}_flow_run() in the flow itself.")
    return context


def _paused(
    context: FlowRunContext, state: State[Any], question: Question | None, poll_interval: float, wait_for: Any
) -> Steps[Any]:
    while True:
        if (yield from _stopped(context, state, question, wait_for)) is not None:
            timeout = _seconds_left(state)
            _announce(context, timeout, question)
            # Nobody answers at once, and `wait_until_resumed` asks before it sleeps.
            yield Sleep(min(poll_interval, timeout) if timeout else poll_interval)
            yield from wait_until_resumed(context, poll_interval)
        try:
            return (yield from _answer(context, question))
        except AnswerRefused as refused:
            state, question = _asked_again(context, state, question, refused)


def _suspended(context: FlowRunContext, state: State[Any], question: Question | None) -> Steps[Any]:
    while True:
        written = yield from _stopped(context, state, question, None)
        if written is not None:
            raise stop(context, RunSuspended(written))
        try:
            return (yield from _answer(context, question))
        except AnswerRefused as refused:
            state, question = _asked_again(context, state, question, refused)


def _asked_again(
    context: FlowRunContext, state: State[Any], question: Question | None, refused: AnswerRefused
) -> tuple[State[Any], Question]:
    """Keep the flow run paused until it gets an answer that fits; the new state says why this one was refused."""
    assert question is not None
    flow_run_logger(context).warning("The answer was not taken, so the run stays %s. %s", state.name.lower(), refused)
    return ask_again(state, question, refused)


def _stopped(
    context: FlowRunContext, state: State[Any], question: Question | None, wait_for: Any
) -> Steps[State[Any] | None]:
    """Return the paused state; None if an earlier attempt already passed this pause, so that the run continues."""
    futures = [*context.unfinished, *futures_in(wait_for)]
    if futures:
        yield WaitFor(futures)
    # First, because steps that arrive while the run is paused are refused.
    yield Do(context.reporter.drain, context.id)
    if question is not None:
        # Before the state, so that whoever sees the pause finds its question.
        yield from question.ask(context.client, context.id)
    result = yield send(context.client, set_flow_run_state(context.id, state))
    if result.status == "ACCEPT":
        return result.state or state
    if result.status == "REJECT" and result.state is not None and result.state.is_running():
        return None
    raise _refused(state, result)


def _answer(context: FlowRunContext, question: Question | None) -> Steps[Any]:
    return (yield from question.answer(context.client, context.id)) if question else None


def _suspended_elsewhere(flow_run_id: UUID, state: State[Any], question: Question | None) -> Steps[None]:
    with current_client() as client:
        if question is not None:
            yield from question.ask(client, flow_run_id)
        result = yield send(client, set_flow_run_state(flow_run_id, state))
    if result.status != "ACCEPT":
        raise _refused(state, result)


def _refused(state: State[Any], result: OrchestrationResult) -> OrchestrationRefused:
    return OrchestrationRefused(f"The flow run cannot be {state.name.lower()}: {result.reason}.")


def _seconds_left(pause: State[Any]) -> float | None:
    until = pause.state_details.pause_timeout
    return None if until is None else max((until - datetime.now(UTC)).total_seconds(), 0.0)


def _announce(context: FlowRunContext, timeout: float | None, question: Question | None) -> None:
    flow_run_logger(context).info(
        "Paused; resume it%s, as with `orion flow-run resume %s%s`.",
        f" within {round(timeout, 1):g} s" if timeout else "",
        context.flow_run.name,
        " --input NAME=VALUE" if question else "",
    )


def resume_flow_run(flow_run_id: UUID | str, run_input: Any = None) -> Any:
    """Resume a paused or suspended flow run and return its state. In coroutines: `await resume_flow_run(id)`.

    - `flow_run_id`: the run.
    - `run_input`: the answer, if the run waits for one: a dict of fields, or a value of the type.

    Raises `OrchestrationRefused` if the run is not paused, or if the answer does not fit.
    """
    return drive_or_await(_resumed(checked_run_id(flow_run_id), None if run_input is None else content_of(run_input)))


def _resumed(flow_run_id: UUID, run_input: dict[str, Any] | None) -> Steps[State[Any] | None]:
    with current_client() as client:
        result = yield send(client, resume(flow_run_id, run_input=run_input))
    if result.status != "ACCEPT":
        why = (result.reason or "it is not paused").rstrip(".")
        raise OrchestrationRefused(f"Flow run {flow_run_id} cannot be resumed: {why}.")
    state: State[Any] | None = result.state
    return state
