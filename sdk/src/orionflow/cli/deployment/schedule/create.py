"""`orion deployment schedule create`."""

from __future__ import annotations

from typing import Any

import click

from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.deployment.columns import schedule_columns
from orionflow.cli.deployment.finding import find_deployment
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.parameters import read_whole
from orionflow.cli.schedules import read_schedule, schedule_options
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand,
    examples=(
        ('orion deployment schedule create etl/prod --cron "0 6 * * 1-5" --timezone Europe/Berlin', ""),
        ("orion dep schedule create etl/prod --interval 15m --catchup latest", "after an outage, once"),
        ('orion dep schedule create etl/prod --rrule "FREQ=MONTHLY;BYDAY=-1FR" --max-runs 12', "last Fridays, a year"),
        ("orion dep schedule create etl/prod --ics plan.ics --exclude holidays", "from a calendar program"),
    ),
)
@click.argument("name", metavar="DEPLOYMENT")
@schedule_options
@click.option("--params", metavar="JSON", help="Parameters of its runs, as a JSON object or @FILE.")
@click.option("--paused", is_flag=True, help="Add it, but plan nothing yet.")
@output_options
@time_options
def create(name: str, params: str | None, paused: bool, output: Output, clock: Clock, **said: Any) -> None:
    """Add a schedule to a deployment: one of --cron, --interval, --rrule and --ics."""
    api = backend()
    wanted = read_schedule(said, clock)
    if wanted is None:
        raise click.UsageError("Say when: one of --cron, --interval, --rrule or --ics.")
    body = {**wanted, "active": not paused, **({"parameters": read_whole(params)} if params else {})}
    deployment = find_deployment(api, name)
    created = api.post(f"/deployments/{deployment['id']}/schedules", [body])
    output.show_many(created, schedule_columns(clock), name="id")
