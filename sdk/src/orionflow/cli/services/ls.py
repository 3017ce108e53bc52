"""`orion services ls`."""

from __future__ import annotations

import click

from orionflow.cli.backend import Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.times import Clock, duration


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion services ls", "is anything behind?"),
        ("orion services ls -o wide", "with errors and who ticks"),
    ),
)
@output_options
@time_options
def ls(output: Output, clock: Clock) -> None:
    """List the services of the server, whichever process ticks them: their last tick, lag and errors."""
    found: list[Json] = backend().get("/admin/services")
    output.show_many(found, _columns(clock))
    if output.is_for_people and not found:
        output.terminal.note("No services have ticked yet; `orion server start` ticks them.")
    if output.is_for_people:
        for one in found:
            if one["verdict"] == "failing":
                output.terminal.note(f"{one['name']}: {one['last_error']}")


def _columns(clock: Clock) -> list[Column]:
    return [
        Column("NAME", lambda row: row["name"], field="name"),
        Column("STATE", lambda row: row["verdict"], field="verdict"),
        Column("LAST TICK", lambda row: clock.ago(row["last_tick"]), field="last_tick"),
        Column("LAG", lambda row: duration(row["lag_seconds"]), field="lag_seconds"),
        Column("TOOK", lambda row: duration(row["last_seconds"]), field="last_seconds"),
        Column("EVERY", lambda row: duration(row["every_seconds"]), field="every_seconds"),
        Column("ERRORS", lambda row: str(row["errors"]), field="errors"),
        Column("TICKS", lambda row: str(row["ticks"]), field="ticks", wide=True),
        Column("LAST ERROR", lambda row: row["last_error"] or "-", field="last_error", wide=True),
        Column("TICKER", lambda row: row["ticker"], field="ticker", wide=True),
    ]
