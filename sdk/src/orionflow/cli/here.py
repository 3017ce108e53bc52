"""A flow run in the process of the command: called like any flow, with an eye on which run it became."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.cli.backend import Backend, Json
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import TERMINAL_TYPES, ExitCode, exit_code_of_state
from orionflow.cli.flow_run.columns import lasted
from orionflow.cli.looks import first_line, painted
from orionflow.cli.options import Output
from orionflow.cli.status_line import StatusLine, progress_text
from orionflow.cli.times import duration, read_moment

if TYPE_CHECKING:
    from orionflow.flows import Flow
    from orionflow.states import State

REDRAW_SECONDS = 0.5


def run_here(
    flow: Flow[Any, Any], parameters: dict[str, Any], *, tags: Sequence[str], watch: bool, output: Output
) -> int:
    """Call the flow and tell how it ended; the exit code follows its final state."""
    from orionflow.context import tags as with_tags

    def call(observed: Flow[Any, Any]) -> State[Any]:
        with with_tags(*tags):
            outcome = observed(**parameters, return_state=True)
            return asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome

    return _followed(flow, call, watch=watch, output=output)


def rerun_here(flow: Flow[Any, Any], run: Json, *, watch: bool, output: Output) -> int:
    """Run the flow's code for a run that exists already, with that run's parameters."""
    from orionflow.engine.calling import call_flow_for_run

    def call(observed: Flow[Any, Any]) -> State[Any]:
        return call_flow_for_run(observed, UUID(run["id"]), run["parameters"])

    return _followed(flow, call, watch=watch, output=output)


def _followed(
    flow: Flow[Any, Any], call: Callable[[Flow[Any, Any]], State[Any]], *, watch: bool, output: Output
) -> int:
    """Call with an eye on the run; whatever happens to the flow, the progress line is taken away."""
    progress = Progress(output, is_wanted=watch)
    try:
        with progress.status.below_everything(), _only_errors(output.terminal.quiet):
            state = call(flow.with_options(on_running=[*flow.on_running, progress.begin]))
        run_id, message = state.state_details.flow_run_id, state.message
    except SystemExit:
        # User code ended the process, which crashed the run; the command has to tell that like any other end.
        if progress.run_id is None:
            raise
        run_id, message = progress.run_id, None
    finally:
        progress.end()
    return tell_end(run_id, message, output)


def tell_end(run_id: UUID | None, message: str | None, output: Output) -> int:
    """Say how the run ended; with -o, its object."""
    if run_id is None:
        raise CommandFailed(ExitCode.FAILED, message or "The flow did not run.")
    run: Json = Backend().get(f"/flow_runs/{run_id}")
    words = first_line((run["state"] or {}).get("message"), 200) if run["state_type"] != "COMPLETED" else ""
    ended = painted(run["state_name"] or "without a state", run["state_type"])
    seconds = _lasted(run)
    # A run whose parameters do not fit never began.
    took = f" after {duration(seconds)}" if seconds is not None else ""
    output.terminal.note(f"{run['name']} is {ended}{took}{': ' + words if words else '.'}")
    if output.is_for_people:
        output.terminal.note(f"  orion flow-run inspect {run['name']}")
    else:
        output.show_one(run)
    return exit_code_of_state(run["state_type"])


@contextmanager
def _only_errors(is_wanted: bool) -> Iterator[None]:
    """What the flow logs is recorded all the same."""
    from orionflow.logging import ConsoleHandler

    before = ConsoleHandler.least
    ConsoleHandler.least = logging.ERROR if is_wanted else before
    try:
        yield
    finally:
        ConsoleHandler.least = before


def _lasted(run: Json) -> float | None:
    """How long this attempt took. A run that is retried began long before."""
    history = Backend().get(f"/flow_runs/{run['id']}/why")["history"]
    ended = [place for place, state in enumerate(history) if state["type"] in TERMINAL_TYPES]
    if not ended:
        return lasted(run)
    before = ended[-2] + 1 if len(ended) > 1 else 0
    began = next((state for state in history[before : ended[-1]] if state["type"] == "RUNNING"), None)
    start, end = (read_moment(state["timestamp"]) if state else None for state in (began, history[ended[-1]]))
    return (end - start).total_seconds() if start and end else None


class Progress:
    """Learns which run this is, and draws its progress from a thread while the flow has the main one."""

    def __init__(self, output: Output, *, is_wanted: bool) -> None:
        self.run_id: UUID | None = None
        self.status = StatusLine(output.terminal)
        self.status.is_shown = self.status.is_shown and is_wanted
        self.over = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self, flow: Any, flow_run: Any, state: Any) -> None:
        """A hook of the flow: it runs, so its id and name are known. A retry calls it again."""
        self.run_id = flow_run.id
        if self.status.is_shown and self.thread is None:
            self.thread = threading.Thread(target=self._draw, args=(str(flow_run.id), flow_run.name), daemon=True)
            self.thread.start()

    def _draw(self, run_id: str, name: str) -> None:
        from orionflow.cli.flow_run.inspect import task_progress
        from orionflow.errors import ApiError

        api, began = Backend(), time.monotonic()
        while not self.over.wait(REDRAW_SECONDS):
            try:
                finished, known = task_progress(api, run_id)
            except ApiError:
                # The run itself reports to the API and will say what is wrong; a missing number is not worth a word.
                continue
            self.status.show(progress_text(name, "Running", finished, known, time.monotonic() - began))

    def end(self) -> None:
        self.over.set()
        if self.thread is not None:
            self.thread.join(timeout=2)
        self.status.clear()
