"""`orion flow-run why`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import find_flow_run
from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.reasons import why_lines
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run why @last", "why is it in this state?"),
        ("orion fr why brave-otter --all", "every state, and what every rule said"),
        ("orion fr why @last-failed -o json", "the API's object"),
    ),
)
@click.argument("run", metavar="RUN")
@click.option("--all", "every", is_flag=True, help="Show all states with all rules that judged them.")
@output_options
@time_options
def why(run: str, every: bool, output: Output, clock: Clock) -> None:
    """Explain why a run is in the state it is in, or why it does not move."""
    api = backend()
    found = find_flow_run(api, run)
    answer = api.get(f"/flow_runs/{found['id']}/why")
    if not output.is_for_people:
        output.show_one(answer, name="run_id")
        return
    for line in why_lines(found["name"], answer, clock, output.terminal, every=every):
        output.terminal.out(line)
