"""`orion run`: execute a flow in this process and follow it to its end."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import click

from orionflow.calls.flow_runs import FLOW_RUNS, explain_flow_run, update_flow_run
from orionflow.cli.backend import Backend, Json
from orionflow.cli.errors import TERMINAL_TYPES, CommandFailed, ExitCode, exit_code_of_state
from orionflow.cli.parameters import PARAMETERS, read_parameters
from orionflow.cli.run_tables import lasted, task_progress
from orionflow.cli.session import Session, command, with_params
from orionflow.cli.status_line import StatusLine, progress_text
from orionflow.cli.style import first_line, painted
from orionflow.cli.times import duration, read_moment

if TYPE_CHECKING:
    from orionflow.flows import Flow
    from orionflow.states import State

REDRAW_SECONDS = 0.5


@command(
    ("orion run flows.py:etl -p day=2026-01-01 -p limit=5", "a file"),
    ("orion run shop.flows:etl --params @etl.json", "a module, parameters from a file"),
    ("orion run flows.py:etl --watch", "with a progress line"),
    ("orion run flows.py:etl --name try-7 --tag scratch -o json", "the finished run as the API's object"),
)
@click.argument("entrypoint")
@with_params(*PARAMETERS)
@click.option("--name", metavar="NAME", help="Name the run; otherwise it gets a random name.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag the run and its task runs.")
@click.option("--watch", is_flag=True, help="Show the progress of its tasks.")
def run(
    session: Session, entrypoint: str, pairs: Sequence[str], params: str | None, name: str | None,
    tags: Sequence[str], watch: bool,
) -> int:  # fmt: skip
    """Run a flow in this process. ENTRYPOINT is path/to/file.py:flow or package.module:flow.

    The exit code says how the run ended: `orion help exit-codes`.
    """
    flow = load_flow(entrypoint)
    parameters = read_parameters(flow.fn, pairs, params)
    if name:
        flow = flow.with_options(flow_run_name=name)
    return run_here(session, flow, parameters, tags=tags, watch=watch)


def load_flow(entrypoint: str) -> Flow[Any, Any]:
    """Load the flow that an entry point names; without `:name`, the only one in the file."""
    from orionflow.code.entrypoints import NoEntrypoint
    from orionflow.code.entrypoints import load_flow as load

    try:
        return load(entrypoint)
    except NoEntrypoint as error:
        code = ExitCode.NOT_FOUND if error.is_missing else ExitCode.USAGE
        raise CommandFailed(code, error.what, error.why, error.fix) from error.__cause__


def run_here(
    session: Session, flow: Flow[Any, Any], parameters: dict[str, Any], *, tags: Sequence[str], watch: bool
) -> int:
    """Call the flow and report its end; return the exit code for its final state."""
    from orionflow.context import tags as with_tags

    def call(observed: Flow[Any, Any]) -> State[Any]:
        with with_tags(*tags):
            outcome = observed(**parameters, return_state=True)
            if not inspect.iscoroutine(outcome):
                return cast("State[Any]", outcome)
            import asyncio

            return asyncio.run(outcome)

    return _followed(session, flow, call, watch=watch)


def rerun_here(session: Session, flow: Flow[Any, Any], run: Json, *, watch: bool) -> int:
    """Run the flow's code for an existing run, with that run's parameters."""
    refuse_masked(run)
    from orionflow.engine.invoke import call_flow_for_run
    from orionflow.processes import own_identity

    if process := own_identity():
        # The recorded process may have ended, and a server would conclude that this attempt has ended too.
        session.api.ask(update_flow_run(UUID(run["id"]), process=process))

    def call(observed: Flow[Any, Any]) -> State[Any]:
        return call_flow_for_run(observed, UUID(run["id"]), run["parameters"])

    return _followed(session, flow, call, watch=watch)


def refuse_masked(run: Json) -> None:
    """Raise for a run whose recorded parameters contain masks in place of secrets."""
    from orionflow.contract.masking import refusal_of_masked

    if refusal := refusal_of_masked(run["parameters"]):
        raise CommandFailed(
            ExitCode.CONFLICT,
            f"{run['name']} cannot run again.",
            refusal,
            "call the flow again, with the secrets: orion run path/to/file.py:flow -p NAME=VALUE",
        )


def _followed(
    session: Session, flow: Flow[Any, Any], call: Callable[[Flow[Any, Any]], State[Any]], *, watch: bool
) -> int:
    """Call the flow and watch its run; the progress line is removed whatever happens to the flow."""
    progress = Progress(session, is_wanted=watch)
    try:
        with progress.status.below_everything(), _only_errors(session.terminal.quiet):
            state = call(flow.with_options(on_running=[*flow.on_running, progress.begin]))
        run_id, message = state.state_details.flow_run_id, state.message
    except SystemExit:
        # User code ended the process, which crashed the run; the command reports that like any other end.
        if progress.run_id is None:
            raise
        run_id, message = progress.run_id, None
    finally:
        progress.end()
    return _report_end(session, run_id, message)


def _report_end(session: Session, run_id: UUID | None, message: str | None) -> int:
    """Report how the run ended; with -o, show its object."""
    if run_id is None:
        raise CommandFailed(ExitCode.FAILED, message or "The flow did not run.")
    run: Json = session.api.ask(FLOW_RUNS.read(run_id))
    words = first_line((run["state"] or {}).get("message"), 200) if run["state_type"] != "COMPLETED" else ""
    ended = painted(run["state_name"] or "without a state", run["state_type"])
    seconds = _attempt_seconds(session.api, run)
    # A run with invalid parameters never started.
    took = f" after {duration(seconds)}" if seconds is not None else ""
    session.note(f"{run['name']} is {ended}{took}{': ' + words if words else '.'}")
    if session.for_people:
        session.note(f"  orion flow-run inspect {run['name']}")
    else:
        session.show_one(run)
    return exit_code_of_state(run["state_type"])


@contextmanager
def _only_errors(is_wanted: bool) -> Iterator[None]:
    """Print only errors of the log during this block; the log is recorded completely."""
    from orionflow.logging.handlers import ConsoleHandler

    before = ConsoleHandler.least
    ConsoleHandler.least = logging.ERROR if is_wanted else before
    try:
        yield
    finally:
        ConsoleHandler.least = before


def _attempt_seconds(api: Backend, run: Json) -> float | None:
    """Return the seconds that this attempt took; a retried run started long before."""
    history: list[Json] = api.ask(explain_flow_run(run["id"]))["history"]
    ended = [place for place, state in enumerate(history) if state["type"] in TERMINAL_TYPES]
    if not ended:
        return lasted(run)
    before = ended[-2] + 1 if len(ended) > 1 else 0
    began = next((state for state in history[before : ended[-1]] if state["type"] == "RUNNING"), None)
    start, end = (read_moment(state["timestamp"]) if state else None for state in (began, history[ended[-1]]))
    return (end - start).total_seconds() if start and end else None


class Progress:
    """Learns the id of the run, and draws its progress from a thread while the flow uses the main thread."""

    def __init__(self, session: Session, *, is_wanted: bool) -> None:
        self.run_id: UUID | None = None
        self.status = StatusLine(session.terminal)
        self.status.is_shown = self.status.is_shown and is_wanted
        self.over = threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self, flow: Any, flow_run: Any, state: Any) -> None:
        """Note the id and name of the run, as a hook of the flow. Called again by each retry."""
        self.run_id = flow_run.id
        if self.status.is_shown and self.thread is None:
            # A daemon: a request that hangs must not keep the program from ending.
            self.thread = threading.Thread(target=self._draw, args=(str(flow_run.id), flow_run.name), daemon=True)
            self.thread.start()

    def _draw(self, run_id: str, name: str) -> None:
        from orionflow.errors import ApiError

        api, began = Backend(), time.monotonic()
        while not self.over.wait(REDRAW_SECONDS):
            try:
                finished, known = task_progress(api, run_id)
            except ApiError:
                # The run itself reports to the API and will show the error; a missing progress number is not important.
                continue
            self.status.show(progress_text(name, "Running", finished, known, time.monotonic() - began))

    def end(self) -> None:
        self.over.set()
        if self.thread is not None:
            # The line is removed when it cannot be drawn again; a request that hangs is not waited for.
            self.thread.join(timeout=2)
        self.status.clear()
