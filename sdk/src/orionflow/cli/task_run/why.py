"""`orion task-run why`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import find_task_run
from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.reasons import why_lines
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion task-run why @last-failed", "why did it fail?"),
        ("orion tr why brave-otter/extract-0 --all", "every state, and what every rule said"),
    ),
)
@click.argument("task_run", metavar="TASK_RUN")
@click.option("--all", "every", is_flag=True, help="Show all states with all rules that judged them.")
@output_options
@time_options
def why(task_run: str, every: bool, output: Output, clock: Clock) -> None:
    """Explain why a task run is in the state it is in, or why it does not move."""
    api = backend()
    found = find_task_run(api, task_run)
    answer = api.get(f"/task_runs/{found['id']}/why")
    if not output.is_for_people:
        output.show_one(answer, name="run_id")
        return
    for line in why_lines(found["name"], answer, clock, output.terminal, every=every):
        output.terminal.out(line)
