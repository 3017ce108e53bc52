"""`orion services`: what the server does by the clock. Ticking comes from the package `orionflow-server`."""

from __future__ import annotations

import click

from orionflow.cli.command import HELP_NAMES
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli.services"

services = LazyGroup(
    "services",
    context_settings=HELP_NAMES,
    entries={
        "ls": Entry(f"{HERE}.ls:ls", "List the services, their last ticks and errors."),
        "start": Entry(f"{HERE}:start", "Tick the services in a process of its own."),
        "schedule": Entry(f"{HERE}:schedule", "Have Celery beat tick the services."),
    },
    examples=(
        ("orion services ls", "is anything behind?"),
        ("orion services start", "tick them here"),
    ),
    help="Services: planning, hints, taking back lost runs, lateness, retention and other work that time brings.",
)


def __getattr__(name: str) -> click.Command:
    # The table above names these two like any other command; they are looked up when they are chosen.
    if name in ("start", "schedule"):
        return _of_the_server(name)
    raise AttributeError(name)


def _of_the_server(name: str) -> click.Command:
    from orionflow.cli.root import server_group

    group = server_group("services")
    assert isinstance(group, click.Group)
    return group.commands[name]
