"""The tree of commands, as a table. Those of the server come from the package `orionflow-server`, when it is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import HELP_NAMES
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli"
RUN, LOOK, REACT, DEPLOY = "Run", "Look and act", "Be told and react", "Deploy and limit"
SERVER, SETUP = "Server", "Settings and help"
ENTRIES = {
    "run": Entry(f"{HERE}.run:run", "Run a flow in this process and follow it.", section=RUN),
    "flow-run": Entry(f"{HERE}.flow_run:flow_run", "Runs of flows: list, explain, cancel, retry.", ("fr",), LOOK),
    "task-run": Entry(f"{HERE}.task_run:task_run", "Runs of tasks.", ("tr",), LOOK),
    "flow": Entry(f"{HERE}.flow:flow", "Flows that have run.", section=LOOK),
    "artifact": Entry(f"{HERE}.artifact:artifact", "Tables, links and texts that runs left.", section=LOOK),
    "event": Entry(f"{HERE}.event:event", "What has happened, as it was reported.", section=LOOK),
    "notify": Entry(f"{HERE}.notify:notify", "Messages when runs fail: Slack, Teams, mail, webhooks.", section=REACT),
    "automation": Entry(f"{HERE}.automation:automation", "Do something when events come.", section=REACT),
    "api": Entry(f"{HERE}.raw_api:api", "Send one raw request to the API.", section=LOOK),
    "deploy": Entry(f"{HERE}.deploy:deploy", "Hand over the deployments of orion.yaml.", section=DEPLOY),
    "deployment": Entry(f"{HERE}.deployment:deployment", "Flows that were handed over.", ("dep",), DEPLOY),
    "calendar": Entry(f"{HERE}.calendar:calendar", "Times at which schedules start nothing.", section=DEPLOY),
    "work-queue": Entry(f"{HERE}.work_queue:work_queue", "Lines in which runs wait for an agent.", ("wq",), DEPLOY),
    "work-pool": Entry(f"{HERE}.work_pool:work_pool", "Queues that share agents and a limit.", section=DEPLOY),
    "concurrency-limit": Entry(
        f"{HERE}.concurrency_limit:concurrency_limit", "Limits on task runs with a tag.", ("cl",), DEPLOY
    ),
    "global-concurrency-limit": Entry(
        f"{HERE}.global_limit:global_limit", "Limits that flows agree on by name.", ("gcl",), DEPLOY
    ),
    "variable": Entry(f"{HERE}.variable:variable", "Texts that flows read by name.", section=DEPLOY),
    "secret": Entry(f"{HERE}.secret:secret", "Texts that are stored sealed.", section=DEPLOY),
    "block": Entry(f"{HERE}.block:block", "Configuration that programs store by name.", section=DEPLOY),
    "server": Entry(f"{HERE}.root:server", "Start Orion's API, pages and services.", section=SERVER),
    "database": Entry(f"{HERE}.root:database", "Create, upgrade, check or reset the database.", ("db",), SERVER),
    "services": Entry(f"{HERE}.services:services", "What the server does by the clock.", section=SERVER),
    "agent": Entry(f"{HERE}.agent:agent", "Execute runs of deployed flows.", ("worker",), SERVER),
    "task-worker": Entry(f"{HERE}.task_worker:task_worker", "Call the tasks of flows for a fleet.", section=SERVER),
    "import": Entry(f"{HERE}.importing:import_group", "Bring over what another server knows.", section=SERVER),
    "doctor": Entry(f"{HERE}.doctor:doctor", "Check this installation and say what to repair.", section=SERVER),
    "config": Entry(f"{HERE}.config:config", "Read and change settings.", section=SETUP),
    "profile": Entry(f"{HERE}.profile:profile", "Named sets of settings.", section=SETUP),
    "version": Entry(f"{HERE}.version:version", "Versions of client and server.", section=SETUP),
    "completion": Entry(f"{HERE}.completion:completion", "Tab completion for your shell.", section=SETUP),
    "help": Entry(f"{HERE}.topics:show_topic", "Explain a topic: states, filters, exit-codes …", section=SETUP),
}
EXAMPLES = (
    ("orion run flows.py:etl -p day=2026-01-01", "run a flow here"),
    ('orion flow-run ls "state:failed since:-24h"', "what failed today?"),
    ("orion flow-run why @last", "why is it in this state?"),
    ("orion notify create slack", "be told when runs fail"),
    ("orion deploy", "hand over the flows of orion.yaml"),
    ("orion server start", "API and dashboard"),
)


def plugin_command(name: str) -> click.Command | None:
    """A command that an installed package offers in the entry point group `orionflow.commands`."""
    from importlib.metadata import entry_points

    for found in entry_points(group="orionflow.commands", name=name):
        command: click.Command = found.load()
        return command
    return None


def server_group(name: str) -> click.Command:
    command = plugin_command(name)
    if command is None:
        raise CommandFailed(
            ExitCode.USAGE,
            f"`orion {name}` belongs to the package orionflow-server, which is not installed here.",
            fix="pip install orionflow-server",
        )
    return command


def __getattr__(name: str) -> click.Command:
    # The table above names these two like any other command; they are looked up when they are chosen.
    if name in ("server", "database"):
        return server_group(name)
    raise AttributeError(name)


@click.pass_context
def _without_command(ctx: click.Context, profile: str | None, api_url: str | None, version: bool) -> None:
    ctx.with_resource(_flags_in_environment(profile, api_url))
    if version:
        from orionflow.cli.version import client_version

        click.echo(client_version())
        ctx.exit(0)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@contextmanager
def _flags_in_environment(profile: str | None, api_url: str | None) -> Iterator[None]:
    """Flags win over the environment; the processes that a flow starts inherit them through it."""
    import os

    flags = {"ORION_PROFILE": profile, "ORION_API_URL": api_url}
    before = {name: os.environ.get(name) for name in flags}
    os.environ.update({name: value for name, value in flags.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


root = LazyGroup(
    "orion",
    entries=ENTRIES,
    fallback=plugin_command,
    examples=EXAMPLES,
    callback=_without_command,
    invoke_without_command=True,
    context_settings=HELP_NAMES,
    help="Orion: decorate functions, call them, and have every state decided by rules, recorded and explained.",
    params=[
        click.Option(["--profile"], metavar="NAME", help="Use the settings of this profile."),
        click.Option(["--api-url"], metavar="URL", help="Use the API at this address."),
        click.Option(["--version"], is_flag=True, help="Print the version and exit."),
    ],
)
