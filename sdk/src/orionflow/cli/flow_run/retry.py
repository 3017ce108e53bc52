"""`orion flow-run retry`: run the same flow run again, with its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from orionflow.cli.backend import Backend, Json
from orionflow.cli.errors import TERMINAL_TYPES, CommandFailed, ExitCode
from orionflow.cli.flow_run.commands import propose, refused, report_run
from orionflow.cli.flow_run.follow import watch_run
from orionflow.cli.flow_run.retry_from import RetryFrom, refuse_nowhere, refuse_without_tasks
from orionflow.cli.lookup import find_flow_run
from orionflow.cli.run import load_flow, rerun_here
from orionflow.cli.run_tables import flow_names
from orionflow.cli.session import Session, command, destructive

if TYPE_CHECKING:
    from orionflow.flows import Flow

MESSAGE = "Retried from the command line."


@command(
    ("orion flow-run retry @last-failed --entrypoint flows.py:etl", "run it again, here"),
    ("orion fr retry calm-fox", "a run of a deployment: an agent runs it again"),
    ("orion fr retry brave-otter --entrypoint shop.flows:etl --watch", "with a progress line"),
    ("orion fr retry brave-otter --from load --dry-run", "what would run again, if it began at this task?"),
    ("orion fr retry calm-fox --from @failed --new-run --yes", "as a new run that reuses what completed"),
    times=True,
)
@click.argument("run", metavar="RUN")
@click.option(
    "--entrypoint", metavar="PLACE", help="Where the flow's code is: path/to/file.py:flow or package.module:flow."
)
@click.option(
    "--from",
    "from_tasks",
    metavar="TASK",
    multiple=True,
    help="Run this task and all that depends on it: the name of a task, the name or id of a task run, or @failed.",
)
@click.option("--new-run", is_flag=True, help="With --from: make a new run, which reuses results of this one.")
@destructive
@click.option("--watch", is_flag=True, help="Show the progress of its tasks.")
def retry(
    session: Session, run: str, entrypoint: str | None, from_tasks: Sequence[str], new_run: bool, yes: bool,
    dry_run: bool, watch: bool,
) -> int:  # fmt: skip
    """Run a finished run again: the same run, with the same parameters.

    A run of a deployment is scheduled for its agents. Other runs need --entrypoint, and run in this process. Task runs
    whose results are stored are not repeated, except, with --from, the named tasks and what depends on them."""
    refuse_without_tasks(from_tasks, new_run=new_run, dry_run=dry_run)
    found = _finished_run(session, run)
    flow = _code_of(session, found, entrypoint, is_wanted=not dry_run)
    if not from_tasks:
        return _retry_all(session, found, flow, watch=watch)
    wanted = RetryFrom(session, found, from_tasks, new_run, flow)
    preview = wanted.preview()
    if dry_run:
        wanted.show(preview)
        return ExitCode.CONFLICT if preview["refusals"] else ExitCode.DONE
    return wanted.begin(preview, yes=yes, watch=watch)


def retry_agreed(session: Session, run: str, entrypoint: str | None, from_tasks: Sequence[str]) -> int:
    """Run a finished run again without asking: as a whole, or from these tasks. Return the exit code."""
    found = _finished_run(session, run)
    flow = _code_of(session, found, entrypoint, is_wanted=True)
    if not from_tasks:
        return _retry_all(session, found, flow, watch=False)
    wanted = RetryFrom(session, found, from_tasks, new_run=False, flow=flow)
    return wanted.begin(wanted.preview(), yes=True, watch=False)


def _retry_all(session: Session, run: Json, flow: Flow[Any, Any] | None, *, watch: bool) -> int:
    return _reschedule(session, run, watch=watch) if flow is None else rerun_here(session, flow, run, watch=watch)


def _code_of(session: Session, run: Json, entrypoint: str | None, *, is_wanted: bool) -> Flow[Any, Any] | None:
    """Load the flow to execute in this process; None if an agent executes it, or nothing is executed."""
    if entrypoint is None and (run.get("deployment_id") or not is_wanted):
        return None
    if not entrypoint:
        raise refuse_nowhere(run)
    flow = load_flow(entrypoint)
    _refuse_other_flow(session.api, run, flow)
    return flow


def _reschedule(session: Session, run: Json, *, watch: bool) -> int:
    answer = propose(session.api, run, "SCHEDULED", MESSAGE)
    if not answer.wrote:
        raise refused(run, "retried", answer.state_name, answer.reason)
    if watch:
        return watch_run(session, run, with_logs=True)
    report_run(session, f"{run['name']} waits for an agent again; follow it with orion fr watch {run['name']}", run)
    return ExitCode.DONE


def _finished_run(session: Session, named: str) -> Json:
    run = find_flow_run(session.api, named)
    if run["state_type"] in TERMINAL_TYPES:
        return run
    raise CommandFailed(
        ExitCode.CONFLICT,
        f"{run['name']} has not finished; it is {run['state_name'] or 'without a state'}.",
        "only a finished run can be retried",
        f"orion flow-run watch {run['name']}, or cancel it first",
    )


def _refuse_other_flow(api: Backend, run: Json, flow: Flow[Any, Any]) -> None:
    wanted = flow_names(api, [run]).get(run["flow_id"])
    if flow.name != wanted:
        raise CommandFailed(
            ExitCode.USAGE,
            f"{run['name']} is a run of the flow {wanted!r}, not of {flow.name!r}.",
            fix="name that flow's entry point",
        )
