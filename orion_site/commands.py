"""The server's part of the `orion` command: `orion server …`, `orion database …`, users, groups and keys.

Django and daphne are imported inside the commands, so that `orion --help` is fast.
"""

from __future__ import annotations

import json
import os
import sys

import click

from orion_site.accounts.cli import group, key, user
from orion_site.database.commands import database
from orion_site.database.partitioning import partition
from orion_site.database.purge import purge
from orion_site.database.seals import problem_of_seals, reseal, rotate
from orion_site.http.commands import status, stop

__all__ = ["database", "group", "key", "server", "user"]

database.add_command(partition)
database.add_command(purge)
database.add_command(reseal)
database.add_command(rotate)
# The SDK, which does not import the server, finds it here.
database.problem_of_seals = problem_of_seals  # type: ignore[attr-defined]


@click.group()
def server() -> None:
    """Run the Orion server: API, dashboard and services."""


server.add_command(status)
server.add_command(stop)


@server.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Any but a loopback address needs a user.",
)
@click.option(
    "--port", default=4200, show_default=True, type=click.IntRange(0, 65535), help="The port; 0 takes a free one."
)
@click.option("--base-path", default="", envvar="ORION_BASE_PATH", help="Serve below this path, as behind a proxy.")
@click.option("--services/--no-services", default=True, show_default=True, help="Run the services in this process.")
@click.option("--agent/--no-agent", default=True, show_default=True, help="Execute runs of deployed flows here.")
@click.option("--agent-concurrency", type=click.IntRange(min=1), default=4, show_default=True, help="How many at once.")
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long runs of this server's agent may continue when it stops; Ctrl-C again ends them at once.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 63),
    default=1,
    show_default=True,
    envvar="ORION_SERVER_WORKERS",
    help="Processes that answer requests, on PostgreSQL; about one for each core.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the dashboard in a browser.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="json: one line on stdout when the server is ready, with its addresses and process.",
)
def start(
    host: str,
    port: int,
    base_path: str,
    services: bool,
    agent: bool,
    agent_concurrency: int,
    drain_timeout: float,
    workers: int,
    open_browser: bool,
    output: str,
) -> None:
    """Start the server in the foreground; Ctrl-C stops it.

    Example: orion server start --port 4300
    """
    from orion_site.http.messages import address_for_browsers, banner, print_line
    from orion_site.http.options import CannotStart, ServerOptions
    from orion_site.http.server import leave_at_once, run_server

    def ready(address: str) -> None:
        way_in = address_for_browsers(address) if open_browser or sys.stderr.isatty() else address
        print_line(banner(address, way_in))
        if output == "json":
            announced = {"address": address, "api": f"{address.rstrip('/')}/api", "pid": os.getpid()}
            click.echo(json.dumps(announced))
        if open_browser:
            click.launch(way_in)

    options = ServerOptions(
        host=host,
        port=port,
        base_path=base_path,
        services=services,
        agent=agent,
        agent_concurrency=agent_concurrency,
        drain_seconds=drain_timeout,
        workers=workers,
    )
    try:
        all_ended = run_server(options, on_ready=ready)
    except CannotStart as error:
        raise click.ClickException(str(error)) from error
    print_line("Orion has stopped.")
    if not all_ended:
        leave_at_once()
