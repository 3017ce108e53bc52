"""`orion flow-run retry`: the same run once more, with the parameters that it was called with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orionflow.cli.addressing import find_flow_run
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import OrionCommand
from orionflow.cli.exit_codes import TERMINAL_TYPES, ExitCode
from orionflow.cli.flow_run.columns import flow_names
from orionflow.cli.flow_run.watch import follow
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.proposals import propose
from orionflow.cli.times import Clock

if TYPE_CHECKING:
    from orionflow.flows import Flow

MESSAGE = "Retried from the command line."


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run retry @last-failed --entrypoint flows.py:etl", "run it again, here"),
        ("orion fr retry calm-fox", "a run of a deployment: an agent runs it again"),
        ("orion fr retry brave-otter --entrypoint shop.flows:etl --watch", "with a progress line"),
    ),
)
@click.argument("run", metavar="RUN")
@click.option(
    "--entrypoint", metavar="PLACE", help="Where the flow's code is: path/to/file.py:flow or package.module:flow."
)
@click.option("--watch", is_flag=True, help="Show the progress of its tasks.")
@output_options
@time_options
def retry(run: str, entrypoint: str | None, watch: bool, output: Output, clock: Clock) -> int:
    """Run a finished run again: the same run, with the same parameters.

    A run of a deployment is scheduled for its agents. Of others the API does not know the code; --entrypoint says where
    that is, and they run in this process. Task runs whose results were kept are not repeated.
    """
    from orionflow.cli.entrypoints import load_flow
    from orionflow.cli.here import rerun_here

    api = backend()
    found = find_flow_run(api, run)
    _refuse_unfinished(found)
    if entrypoint is None and found.get("deployment_id"):
        return _reschedule(api, found, output, clock, watch=watch)
    flow = load_flow(entrypoint or _recorded(found))
    _refuse_other_flow(api, found, flow)
    return rerun_here(flow, found, watch=watch, output=output)


def _reschedule(api: Backend, run: Json, output: Output, clock: Clock, *, watch: bool) -> int:
    answer = propose(api, run, "SCHEDULED", MESSAGE)
    if not answer.wrote:
        raise CommandFailed(
            ExitCode.CONFLICT, f"{run['name']} cannot be retried; it is {answer.state_name}.", answer.reason,
            f"orion flow-run why {run['name']}",
        )  # fmt: skip
    if watch:
        return follow(api, run, output, clock, None, with_logs=True)
    if output.is_for_people:
        output.terminal.say(f"{run['name']} waits for an agent again; follow it with orion fr watch {run['name']}")
    else:
        output.show_one(api.get(f"/flow_runs/{run['id']}"))
    return ExitCode.DONE


def _refuse_unfinished(run: Json) -> None:
    if run["state_type"] in TERMINAL_TYPES:
        return
    raise CommandFailed(
        ExitCode.CONFLICT,
        f"{run['name']} has not finished; it is {run['state_name'] or 'without a state'}.",
        "only a finished run can be retried",
        f"orion flow-run watch {run['name']}, or cancel it first",
    )


def _recorded(run: Json) -> str:
    raise CommandFailed(
        ExitCode.USAGE,
        f"Where is the code of {run['name']}?",
        "it was called by a program and belongs to no deployment, so the API does not know its code",
        f"orion flow-run retry {run['name']} --entrypoint path/to/file.py:flow",
    )


def _refuse_other_flow(api: Backend, run: Json, flow: Flow[Any, Any]) -> None:
    wanted = flow_names(api, [run]).get(run["flow_id"])
    if flow.name != wanted:
        raise CommandFailed(
            ExitCode.USAGE,
            f"{run['name']} is a run of the flow {wanted!r}, not of {flow.name!r}.",
            fix="name that flow's entry point",
        )
