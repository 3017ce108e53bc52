"""A flow run in the process of the command: called like any flow, with an eye on which run it became."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from orionflow.cli.backend import Backend, Json
from orionflow.cli.exit_codes import exit_code_of_state
from orionflow.cli.looks import first_line, painted
from orionflow.cli.options import Output
from orionflow.cli.status_line import StatusLine, progress_text
from orionflow.cli.times import duration

if TYPE_CHECKING:
    from orionflow.flows import Flow
    from orionflow.states import State

REDRAW_SECONDS = 0.5


def run_here(
    flow: Flow[Any, Any], parameters: dict[str, Any], *, tags: Sequence[str], watch: bool, output: Output
) -> int:
    """Call the flow and tell how it ended; the exit code follows its final state."""
    from orionflow import tags as with_tags

    followed = Followed(output) if watch else None
    began = time.monotonic()
    with with_tags(*tags):
        state = _followed_to_the_end(followed, lambda: _call(_observed(flow, followed), parameters))
    return tell_end(state, time.monotonic() - began, output)


def _call(flow: Flow[Any, Any], parameters: dict[str, Any]) -> State:
    outcome = flow(**parameters, return_state=True)
    return asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome


def _observed(flow: Flow[Any, Any], followed: Followed | None) -> Flow[Any, Any]:
    """The same flow with one more hook: it tells the progress line which run this is."""
    if followed is None:
        return flow
    return flow.with_options(on_running=[*(flow.on_running or ()), followed.begin])


def tell_end(state: State, seconds: float, output: Output) -> int:
    """Say how the run ended; with -o, its object."""
    run_id = state.state_details.flow_run_id
    api = Backend()
    run: Json | None = api.get(f"/flow_runs/{run_id}") if run_id else None
    name = run["name"] if run else "The run"
    words = first_line(state.message) if state.type != "COMPLETED" else ""
    ended = painted(state.name, state.type)
    output.terminal.note(f"{name} is {ended} after {duration(seconds)}{': ' + words if words else '.'}")
    if run and output.is_for_people:
        output.terminal.note(f"  orion flow-run inspect {name}")
    elif run:
        output.show_one(run)
    return exit_code_of_state(state.type)


class Followed:
    """Draws the progress of a run from a thread of its own while the flow has the main one."""

    def __init__(self, output: Output) -> None:
        self.status = StatusLine(output.terminal)
        self.over = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self, flow: Any, flow_run: Any, state: Any) -> None:
        """A hook of the flow: it runs, so its id and name are known. A retry calls it again."""
        if self.thread is None and self.status.is_shown:
            self.thread = threading.Thread(target=self._draw, args=(str(flow_run.id), flow_run.name), daemon=True)
            self.thread.start()

    def _draw(self, run_id: str, name: str) -> None:
        from orionflow.cli.flow_run.inspect import task_progress

        api, began = Backend(), time.monotonic()
        while not self.over.wait(REDRAW_SECONDS):
            finished, known = task_progress(api, run_id)
            self.status.show(progress_text(name, "Running", finished, known, time.monotonic() - began))

    def end(self) -> None:
        self.over.set()
        if self.thread is not None:
            self.thread.join(timeout=2)
        self.status.clear()


def _followed_to_the_end(followed: Followed | None, action: Callable[[], State]) -> State:
    """Whatever happens to the flow, its progress line is taken away."""
    try:
        return action()
    finally:
        if followed is not None:
            followed.end()
