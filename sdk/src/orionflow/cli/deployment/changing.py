"""`orion deployment pause`, `resume` and `delete`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.deployment.columns import deployment_columns
from orionflow.cli.deployment.finding import find_deployment, full_names
from orionflow.cli.options import Output, ask_before, destructive, output_options, time_options
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand, examples=(("orion deployment pause etl/prod", "its planned runs are taken back, others stay"),)
)
@click.argument("names", metavar="DEPLOYMENT...", nargs=-1, required=True)
@output_options
@time_options
def pause(names: tuple[str, ...], output: Output, clock: Clock) -> None:
    """Plan no further runs of deployments. Runs that were asked for by hand still run."""
    _each(names, True, "paused", output, clock)


@click.command(cls=OrionCommand, examples=(("orion deployment resume etl/prod", ""),))
@click.argument("names", metavar="DEPLOYMENT...", nargs=-1, required=True)
@output_options
@time_options
def resume(names: tuple[str, ...], output: Output, clock: Clock) -> None:
    """Plan runs of deployments again, by their active schedules."""
    _each(names, False, "active again", output, clock)


def _each(names: Sequence[str], paused: bool, done: str, output: Output, clock: Clock) -> None:
    api = backend()
    found = _found(api, names)
    for one in found:
        api.request("PATCH", f"/deployments/{one['id']}", {"paused": paused})
    _tell([api.get(f"/deployments/{one['id']}") for one in found], api, done, output, clock)


def _tell(deployments: Sequence[Json], api: Backend, done: str, output: Output, clock: Clock) -> None:
    names = full_names(api, deployments)
    if not output.is_for_people:
        output.show_many(deployments, deployment_columns(names, clock))
        return
    for one in deployments:
        output.terminal.say(f"{names[one['id']]} is {done}.")


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion deployment delete etl/prod --dry-run", "only say what would be deleted"),
        ("orion dep delete etl/prod etl/test --yes", ""),
    ),
)
@click.argument("names", metavar="DEPLOYMENT...", nargs=-1, required=True)
@destructive
@output_options
@time_options
def delete(names: tuple[str, ...], yes: bool, dry_run: bool, output: Output, clock: Clock) -> None:
    """Delete deployments with their schedules. Runs that have begun stay."""
    api = backend()
    found = _found(api, names)
    known = full_names(api, found)
    listed = ", ".join(known[one["id"]] for one in found)
    if dry_run:
        output.terminal.note(f"Would delete {listed}.")
        output.show_many(found, deployment_columns(known, clock))
        return
    ask_before(f"delete {listed}", yes=yes)
    for one in found:
        api.delete(f"/deployments/{one['id']}")
    output.terminal.note(f"Deleted {listed}.")
    if not output.is_for_people:
        output.show_many(found, deployment_columns(known, clock))


def _found(api: Backend, names: Sequence[str]) -> list[Json]:
    return list({one["id"]: one for one in (find_deployment(api, name) for name in names)}.values())
