"""`orion flow-run release`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import find_flow_run
from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, ask_before, destructive, output_options


@click.command(
    cls=OrionCommand,
    examples=(("orion flow-run release @last --dry-run", "only say which"), ("orion fr release calm-fox --yes", "")),
)
@click.argument("run", metavar="RUN")
@click.option("--message", metavar="TEXT", help="Why, for its history.")
@destructive
@output_options
def release(run: str, message: str | None, yes: bool, dry_run: bool, output: Output) -> None:
    """Take a run's places in queue, pool and deployment away: its attempt ends as Crashed, or is tried again.

    For runs whose process is gone or hangs. What the process still sends is refused.
    """
    api = backend()
    found = find_flow_run(api, run)
    if dry_run:
        output.terminal.note(f"Would end the attempt of {found['name']}, which is {found['state_name']}.")
        return
    ask_before(f"end the attempt of {found['name']}", yes=yes)
    answer = api.post(f"/flow_runs/{found['id']}/release", {"message": message} if message else {})
    if output.is_for_people:
        state = answer["state"]
        output.terminal.say(f"{found['name']} is {state['name'] if state else 'without a state'}.")
    else:
        output.show_one(api.get(f"/flow_runs/{found['id']}"))
