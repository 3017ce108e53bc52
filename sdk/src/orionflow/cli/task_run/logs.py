"""`orion task-run logs`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import find_task_run
from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.log_lines import LEVELS, log_query, stored_lines
from orionflow.cli.log_printing import print_lines
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion task-run logs @last-failed", "what did it say before it failed?"),
        ("orion tr logs brave-otter/extract-0 --level warning", "warnings and errors only"),
    ),
)
@click.argument("task_run", metavar="TASK_RUN")
@click.option("--level", type=click.Choice(list(LEVELS)), help="Only this level and higher ones.")
@click.option("--grep", metavar="REGEX", help="Only lines that match.")
@click.option("--tail", metavar="N", type=click.IntRange(min=1), help="Only the last N lines.")
@output_options
@time_options
def logs(task_run: str, level: str | None, grep: str | None, tail: int | None, output: Output, clock: Clock) -> None:
    """Print the log of one task run, oldest line first."""
    api = backend()
    found = find_task_run(api, task_run)
    filters = {"task_run_id": {"any_": [found["id"]]}}
    query = log_query(filters=filters, level=level, since=None, grep=grep, clock=clock)
    print_lines(stored_lines(api, query, tail), output, clock)
