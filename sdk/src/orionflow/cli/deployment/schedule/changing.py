"""`orion deployment schedule pause`, `resume`, `delete` and `clear`."""

from __future__ import annotations

import click

from orionflow.cli.backend import Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.deleting import delete_at
from orionflow.cli.deployment.columns import definition_text, schedule_columns
from orionflow.cli.deployment.finding import find_deployment
from orionflow.cli.deployment.schedule.finding import find_schedule, schedules_of
from orionflow.cli.options import Output, ask_before, destructive, output_options, time_options
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand, examples=(("orion deployment schedule pause etl/prod 1", "the first one of the list"),)
)
@click.argument("name", metavar="DEPLOYMENT")
@click.argument("wanted", metavar="[SCHEDULE]", required=False)
@output_options
@time_options
def pause(name: str, wanted: str | None, output: Output, clock: Clock) -> None:
    """Plan nothing by a schedule; what it planned is taken back. Without SCHEDULE, the only one there is."""
    _set_active(name, wanted, False, output, clock)


@click.command(cls=OrionCommand, examples=(("orion deployment schedule resume etl/prod 1", ""),))
@click.argument("name", metavar="DEPLOYMENT")
@click.argument("wanted", metavar="[SCHEDULE]", required=False)
@output_options
@time_options
def resume(name: str, wanted: str | None, output: Output, clock: Clock) -> None:
    """Plan by a schedule again. Without SCHEDULE, the only one there is."""
    _set_active(name, wanted, True, output, clock)


def _set_active(name: str, wanted: str | None, active: bool, output: Output, clock: Clock) -> None:
    api = backend()
    deployment = find_deployment(api, name)
    found = find_schedule(api, deployment, wanted)
    api.request("PATCH", f"/deployments/{deployment['id']}/schedules/{found['id']}", {"active": active})
    if output.is_for_people:
        output.terminal.say(f"{definition_text(found['schedule'])} is {'active again' if active else 'paused'}.")
    else:
        output.show_many([{**found, "active": active}], schedule_columns(clock), name="id")


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment schedule delete etl/prod 1 --dry-run", "only say which"),
        ("orion dep schedule delete etl/prod 1 --yes", ""),
    ),
)
@click.argument("name", metavar="DEPLOYMENT")
@click.argument("wanted", metavar="SCHEDULE")
@destructive
@output_options
@time_options
def delete(name: str, wanted: str, yes: bool, dry_run: bool, output: Output, clock: Clock) -> None:
    """Delete a schedule, and the runs that it planned."""
    api = backend()
    deployment = find_deployment(api, name)
    found = find_schedule(api, deployment, wanted)
    text = f"the schedule {definition_text(found['schedule'])} of {name}"
    path = f"/deployments/{deployment['id']}/schedules/{found['id']}"
    if delete_at(api, path, text, yes=yes, dry_run=dry_run) and not output.is_for_people:
        output.show_many([found], schedule_columns(clock), name="id")


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment schedule clear etl/prod --dry-run", "only say which"),
        ("orion dep schedule clear etl/prod --yes", ""),
    ),
)
@click.argument("name", metavar="DEPLOYMENT")
@destructive
@output_options
@time_options
def clear(name: str, yes: bool, dry_run: bool, output: Output, clock: Clock) -> None:
    """Delete all schedules of a deployment, and the runs that they planned."""
    api = backend()
    deployment = find_deployment(api, name)
    found = schedules_of(api, deployment)
    if dry_run:
        output.terminal.note(f"Would delete {_counted(found)} of {name}.")
        output.show_many(found, schedule_columns(clock), name="id")
        return
    if found:
        ask_before(f"delete {_counted(found)} of {name}", yes=yes)
    for one in found:
        api.delete(f"/deployments/{deployment['id']}/schedules/{one['id']}")
    output.terminal.note(f"Deleted {_counted(found)} of {name}.")


def _counted(schedules: list[Json]) -> str:
    return "one schedule" if len(schedules) == 1 else f"{len(schedules)} schedules"
