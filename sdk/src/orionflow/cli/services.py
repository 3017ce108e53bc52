"""`orion services`: services that the server runs at intervals. The package `orionflow-server` provides their start."""

from __future__ import annotations

import click

from orionflow.calls.server import read_services
from orionflow.cli.backend import Json
from orionflow.cli.columns import Col, ago, took
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.session import Session, command

services = LazyGroup(
    "services",
    __name__,
    entries={
        "ls": "List the services, their last ticks and errors.",
        "start": "Run the services in a process of their own.",
        "schedule": "Let Celery beat run the services.",
    },
    examples=(("orion services ls", "is anything behind?"), ("orion services start", "tick them here")),
    help="Services: planning, hints, recovery of lost runs, lateness, retention and other work that time brings.",
)


@command(
    ("orion services ls", "is anything behind?"), ("orion services ls -o wide", "with errors and who ticks"), times=True
)
def ls(session: Session) -> None:
    """List the services of the server: their last tick, lag and errors."""
    found: list[Json] = session.api.ask(read_services())
    columns = [
        Col("NAME", "name"),
        Col("STATE", "verdict"),
        Col("LAST TICK", "last_tick", ago),
        Col("LAG", "lag_seconds", took),
        Col("TOOK", "last_seconds", took),
        Col("EVERY", "every_seconds", took),
        Col("ERRORS", "errors"),
        Col("TICKS", "ticks", wide=True),
        Col("LAST ERROR", "last_error", wide=True),
        Col("TICKER", "ticker", wide=True),
    ]
    session.show_list(found, columns, empty="No services have ticked yet; `orion server start` ticks them.")
    for one in found:
        if session.for_people and one["verdict"] == "failing":
            session.note(f"{one['name']}: {one['last_error']}")


def __getattr__(name: str) -> click.Command:
    # The table above names these two like other commands; they are looked up when they are used.
    if name not in ("start", "schedule"):
        raise AttributeError(name)
    from orionflow.cli.root import server_group

    group = server_group("services")
    assert isinstance(group, click.Group)
    return group.commands[name]
