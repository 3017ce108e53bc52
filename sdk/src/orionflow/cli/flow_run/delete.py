"""`orion flow-run delete`."""

from __future__ import annotations

import click

from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.flow_run.cancel import PLAN
from orionflow.cli.flow_run.selection import counted, selected_runs, selection_options
from orionflow.cli.options import Output, ask_before, destructive, output_options, time_options
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run delete brave-otter --yes", ""),
        ('orion fr delete --query "state:completed until:-30d" --max 500 --yes', "old ones"),
        ('orion fr delete --query "tag:scratch" --dry-run', "only say which"),
    ),
)
@selection_options
@destructive
@output_options
@time_options
def delete(
    runs: tuple[str, ...], query: str | None, most: int, yes: bool, dry_run: bool, output: Output, clock: Clock
) -> None:
    """Delete runs with their task runs and states. This cannot be undone."""
    api = backend()
    found = selected_runs(api, runs, query, most, clock)
    if dry_run:
        output.terminal.note(f"Would delete {counted(found)}.")
        output.show_many(found, PLAN)
        return
    if not found:
        output.terminal.note("No runs match.")
        return
    ask_before(f"delete {counted(found)}", yes=yes)
    for run in found:
        api.delete(f"/flow_runs/{run['id']}")
    output.terminal.note(f"Deleted {counted(found)}.")
    if not output.is_for_people:
        output.show_many(found, PLAN)
