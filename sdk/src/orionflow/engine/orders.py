"""What others want of a flow run: the API's orders, obeyed where a task is called and where one begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orionflow.calls.flow_runs import read_flow_run
from orionflow.clock import current_clock
from orionflow.engine.effects import Sleep, Steps, send
from orionflow.reporting.items import ABORT, ERROR, Answer
from orionflow.states import State, StateType

if TYPE_CHECKING:
    from orionflow.context import FlowRunContext

POLL_SECONDS = 1.0
# Past the deadline of a pause by the server's clock as well.
A_MOMENT = 0.05


class Stopped(BaseException):
    """The run must end here. Not an Exception: code that catches every Exception shall not go on."""


class CancelOrdered(Stopped):
    """Somebody cancelled the flow run."""


class RunTakenAway(Stopped):
    """Another attempt owns the flow run now; nothing that this one reports is heard."""


class TimeIsUp(Stopped):
    """The flow run ran out of time; its tasks end with it."""


class PauseRanOut(Stopped):
    """Nobody resumed the paused flow run in time; whatever it proposes now, the rules end it as Failed."""


class RunSuspended(Stopped):
    """The flow run is suspended: this attempt ends, and the next one begins when somebody resumes it."""

    def __init__(self, state: State[Any]) -> None:
        super().__init__(f"The flow run is {state.name}; it goes on in a new attempt when it is resumed.")
        self.state = state


class StepRefused(Stopped):
    """The rules refused a step that was already taken, so what this run does is no longer recorded."""


def checkpoint(flow_run: FlowRunContext) -> None:
    """Raise what ends the flow run, if anything does. Called for each task, so it does next to nothing."""
    run: FlowRunContext | None = flow_run
    while run is not None:
        if run.stopped_by is not None:
            raise run.stopped_by
        reporter = run.api.reporter
        order = reporter.orders(run.id)
        if order == "cancel":
            raise stop(run, CancelOrdered("The flow run was cancelled."))
        if order == "lost":
            raise stop(run, RunTakenAway("Another attempt of this flow run took over."))
        if (refused := reporter.refused(run.id)) and order is None:
            _stop_at_refusal(run, refused)
        run = run.parent


def stop(flow_run: FlowRunContext, why: Stopped) -> Stopped:
    """Remember why the run ends, so that every thread of it ends for the same reason."""
    flow_run.stopped_by = flow_run.stopped_by or why
    return why


def _stop_at_refusal(flow_run: FlowRunContext, refused: list[Answer]) -> None:
    for answer in refused:
        if answer.status in (ABORT, ERROR):
            raise stop(flow_run, StepRefused(f"A step of a task run was refused: {answer.reason}"))


def is_paused(flow_run: FlowRunContext) -> bool:
    return flow_run.api.reporter.orders(flow_run.id) == "pause"


def ask_for_orders(flow_run: FlowRunContext) -> Steps[None]:
    """Hear them now: where nothing is reported, no answer brings them."""
    run = yield send(flow_run.client, read_flow_run(flow_run.id))
    if run.state_type is StateType.CANCELLING:
        raise stop(flow_run, CancelOrdered("The flow run was cancelled."))
    if run.state_type is not StateType.RUNNING:
        yield from wait_until_resumed(flow_run)
    checkpoint(flow_run)


def leave_to_another(flow_run: FlowRunContext) -> Steps[None]:
    """Raise RunSuspended if the flow run waits for a new attempt: somebody suspended it, and may have resumed it
    before this attempt took notice."""
    run = yield send(flow_run.client, read_flow_run(flow_run.id))
    match run.state_type:
        case StateType.SCHEDULED | StateType.PENDING:
            raise stop(flow_run, RunSuspended(run.state))
        case StateType.PAUSED if run.state.state_details.pause_reschedule:
            raise stop(flow_run, RunSuspended(run.state))


def wait_until_resumed(flow_run: FlowRunContext, poll_seconds: float = POLL_SECONDS) -> Steps[None]:
    """Sleep while the flow run is paused; raises CancelOrdered when it is ended instead of resumed.

    A suspended one is not waited for: its process ends.
    """
    while True:
        run = yield send(flow_run.client, read_flow_run(flow_run.id))
        match run.state_type:
            case StateType.PAUSED:
                if run.state is not None and run.state.state_details.pause_reschedule:
                    raise stop(flow_run, RunSuspended(run.state))
                if (left := _seconds_to_resume(run.state)) < 0:
                    raise stop(flow_run, PauseRanOut("The flow was paused and never resumed."))
                yield Sleep(min(poll_seconds, left + A_MOMENT))
            case StateType.RUNNING:
                flow_run.is_repeated = True
                flow_run.flow_run = run
                flow_run.reporter.obeyed(flow_run.id)
                return
            case StateType.SCHEDULED | StateType.PENDING:
                raise stop(flow_run, RunSuspended(run.state))
            case _:
                said = run.state.message if run.state else None
                raise stop(
                    flow_run, CancelOrdered(said or f"The flow run became {run.state_name} while it was paused.")
                )


def _seconds_to_resume(pause: State[Any] | None) -> float:
    deadline = pause.state_details.pause_timeout if pause is not None else None
    return float("inf") if deadline is None else (deadline - current_clock().now()).total_seconds()
