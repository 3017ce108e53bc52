"""The API's commands to a flow run (cancel, pause, lost), followed when a task is called and when a task run starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orionflow.calls.flow_runs import read_flow_run
from orionflow.clock import current_clock
from orionflow.engine.effects import Sleep, Steps, send
from orionflow.reporting.items import ABORT, ERROR
from orionflow.states import State, StateType

if TYPE_CHECKING:
    from orionflow.context import FlowRunContext

# Between questions whether a paused run was resumed.
POLL_SECONDS = 1.0
# Wake slightly after the deadline of a pause, so that it has passed by the server's clock as well.
PAST_DEADLINE_SECONDS = 0.05


class Stopped(BaseException):
    """The run must end here.

    Not an Exception, so that user code that catches every Exception does not continue after it.
    """


class CancelRequested(Stopped):
    """The flow run was cancelled by a user or a program."""


class RunTakenOver(Stopped):
    """Another attempt owns the flow run now; the API refuses the reports of this one."""


class TimeIsUp(Stopped):
    """The flow run exceeded its time limit; its tasks end with it."""


class PauseRanOut(Stopped):
    """The paused flow run was not resumed in time; whatever it proposes now, the rules end it as Failed."""


class RunSuspended(Stopped):
    """The flow run is suspended: this attempt ends, and the next one starts when the run is resumed."""

    def __init__(self, state: State[Any]) -> None:
        super().__init__(f"The flow run is {state.name}; it continues in a new attempt when it is resumed.")
        self.state = state


class StepRefused(Stopped):
    """The rules refused a step that was already taken, so this run is no longer recorded."""


def checkpoint(flow_run: FlowRunContext) -> None:
    """Raise the reason for which the flow run must stop, if there is one. Called for each task, so it must be cheap."""
    run: FlowRunContext | None = flow_run
    while run is not None:
        if run.stopped_by is not None:
            raise run.stopped_by
        reporter = run.api.reporter
        command = reporter.command(run.id)
        if command == "cancel":
            raise stop(run, CancelRequested("The flow run was cancelled."))
        if command == "lost":
            raise stop(run, RunTakenOver("Another attempt of this flow run took over."))
        # Steps of a paused run are refused because of the pause; they are proposed again when the run is resumed.
        if (refused := reporter.refused(run.id)) and command is None:
            for answer in refused:
                if answer.status in (ABORT, ERROR):
                    raise stop(run, StepRefused(f"A step of a task run was refused: {answer.reason}"))
        # A nested run ends with those around it.
        run = run.parent


def stop(flow_run: FlowRunContext, why: Stopped) -> Stopped:
    """Remember why the run ends, so that every thread of it ends for the same reason."""
    flow_run.stopped_by = flow_run.stopped_by or why
    return why


def is_paused(flow_run: FlowRunContext) -> bool:
    return flow_run.api.reporter.command(flow_run.id) == "pause"


def read_commands(flow_run: FlowRunContext) -> Steps[None]:
    """Ask the API for commands and follow them. Only needed if nothing is reported: answers to reports carry them."""
    run = yield send(flow_run.client, read_flow_run(flow_run.id))
    if run.state_type is StateType.CANCELLING:
        raise stop(flow_run, CancelRequested("The flow run was cancelled."))
    if run.state_type is not StateType.RUNNING:
        yield from wait_until_resumed(flow_run)
    checkpoint(flow_run)


def leave_to_another(flow_run: FlowRunContext) -> Steps[None]:
    """Raise RunSuspended if the flow run waits for a new attempt.

    The run was suspended, and may have been resumed before this attempt noticed.
    """
    run = yield send(flow_run.client, read_flow_run(flow_run.id))
    match run.state_type:
        case StateType.SCHEDULED | StateType.PENDING:
            raise stop(flow_run, RunSuspended(run.state))
        case StateType.PAUSED if run.state.state_details.pause_reschedule:
            raise stop(flow_run, RunSuspended(run.state))


def wait_until_resumed(flow_run: FlowRunContext, poll_seconds: float = POLL_SECONDS) -> Steps[None]:
    """Sleep while the flow run is paused. Raise CancelRequested if it is ended instead of resumed.

    A suspended run is not waited for, as its process ends.
    """
    while True:
        run = yield send(flow_run.client, read_flow_run(flow_run.id))
        match run.state_type:
            case StateType.PAUSED:
                if run.state is not None and run.state.state_details.pause_reschedule:
                    raise stop(flow_run, RunSuspended(run.state))
                if (left := _seconds_to_resume(run.state)) < 0:
                    raise stop(flow_run, PauseRanOut("The flow was paused and never resumed."))
                yield Sleep(min(poll_seconds, left + PAST_DEADLINE_SECONDS))
            case StateType.RUNNING:
                flow_run.is_repeated = True
                flow_run.flow_run = run
                flow_run.reporter.acknowledge_command(flow_run.id)
                return
            case StateType.SCHEDULED | StateType.PENDING:
                raise stop(flow_run, RunSuspended(run.state))
            case _:
                message = run.state.message if run.state else None
                raise stop(
                    flow_run, CancelRequested(message or f"The flow run became {run.state_name} while it was paused.")
                )


def _seconds_to_resume(pause: State[Any] | None) -> float:
    deadline = pause.state_details.pause_timeout if pause is not None else None
    return float("inf") if deadline is None else (deadline - current_clock().now()).total_seconds()
