"""`orion deployment schedule ls`."""

from __future__ import annotations

import click

from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.deployment.columns import numbered_schedule_columns
from orionflow.cli.deployment.finding import find_deployment
from orionflow.cli.deployment.schedule.finding import schedules_of
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.times import Clock


@click.command(cls=OrionCommand, examples=(("orion deployment schedule ls etl/prod", ""),))
@click.argument("name", metavar="DEPLOYMENT")
@output_options
@time_options
def ls(name: str, output: Output, clock: Clock) -> None:
    """List the schedules of a deployment."""
    api = backend()
    found = schedules_of(api, find_deployment(api, name))
    output.show_many(found, numbered_schedule_columns(found, clock), name="id")
    if output.is_for_people and not found:
        output.terminal.note("No schedules; add one with orion deployment schedule create.")
