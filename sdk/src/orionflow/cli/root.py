"""The tree of commands, as a table. Those of the server come from the package `orionflow-server`, if installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lazy import Entry, LazyGroup

ENTRIES: Mapping[str, str | Entry | Mapping[str, str | Entry]] = {
    "Run": {
        "run": "Run a flow in this process and follow it.",
        "pull": Entry("Pack a run into one file.", ".pulling:pull"),
        "replay": Entry("Run a recorded run again here, with its recorded values.", ".replaying:replay"),
    },
    "Look and act": {
        "flow-run": Entry("Runs of flows: list, explain, cancel, retry.", aliases=("fr",)),
        "task-run": Entry("Runs of tasks.", aliases=("tr",)),
        "problem": Entry("Failures grouped by cause.", aliases=("problems",)),
        "bulk": "One command for many runs, carried out by the server.",
        "flow": "Flows that have run.",
        "result": "Values that runs stored.",
        "artifact": "Tables, links and texts that runs made.",
        "event": "Events that were reported.",
        "api": Entry("Send one raw request to the API.", ".raw_api:api"),
    },
    "Notify and react": {
        "notify": "Messages when runs fail: Slack, Teams, mail, webhooks.",
        "automation": "Act when events arrive.",
    },
    "Deploy and limit": {
        "deploy": "Deploy what orion.yaml describes.",
        "deployment": Entry("Deployments of flows.", aliases=("dep",)),
        "calendar": "Times at which schedules plan nothing.",
        "work-queue": Entry("Queues in which runs wait for an agent.", aliases=("wq",)),
        "work-pool": "Queues that share agents and a limit.",
        "concurrency-limit": Entry("Limits on task runs with a tag.", aliases=("cl",)),
        "global-concurrency-limit": Entry(
            "Limits that flows agree on by name.", ".global_limit:global_limit", aliases=("gcl",)
        ),
        "variable": "Texts that flows read by name.",
        "secret": Entry("Texts that are stored encrypted.", aliases=("secrets",)),
        "block": "Configuration that programs store by name.",
    },
    "Server": {
        "server": Entry("Start Orion's API, pages and services.", ".root:server"),
        "open": Entry("Open the dashboard in a browser.", ".opening:open_dashboard"),
        "database": Entry("Create, upgrade, check or reset the database.", ".root:database", aliases=("db",)),
        "archive": Entry("Old runs in Parquet files.", ".root:archive"),
        "services": "Functions that the server runs at intervals.",
        "audit": "Who changed what, and whether entries are missing.",
        "user": Entry("People and programs that the server knows.", ".root:user"),
        "group": Entry("Groups of users, and their roles.", ".root:group"),
        "key": Entry("API keys of programs.", ".root:key"),
        "agent": Entry("Execute runs of deployed flows.", aliases=("worker",)),
        "task-worker": "Run tasks of flows on many machines.",
        "import": Entry("Copy data from another server.", ".importing:import_group"),
        "doctor": "Check this installation and report how to repair it.",
    },
    "Settings and help": {
        "config": "Read and change settings.",
        "profile": "Named sets of settings.",
        "auth": "The API key for a server.",
        "version": "Versions of client and server.",
        "completion": "Tab completion for your shell.",
        "help": Entry("Explain a topic: states, filters, exit-codes …", ".topics:show_topic"),
    },
}
OF_THE_SERVER = frozenset({"server", "database", "archive", "user", "group", "key"})
EXAMPLES = (
    ("orion run flows.py:etl -p day=2026-01-01", "run a flow here"),
    ('orion flow-run ls "state:failed since:-24h"', "what failed today?"),
    ("orion flow-run why @last", "why is it in this state?"),
    ("orion notify create slack", "get a message when runs fail"),
    ("orion deploy", "deploy what orion.yaml describes"),
    ("orion server start", "API and dashboard"),
)


def plugin_command(name: str) -> click.Command | None:
    """Return a command that an installed package provides in the entry point group `orionflow.commands`."""
    from importlib.metadata import PackageNotFoundError, distribution, entry_points

    group = "orionflow.commands"
    # Reading one package by its name reads one file; all packages are searched only for commands of others.
    try:
        own = distribution("orionflow-server").entry_points.select(group=group, name=name)
    except PackageNotFoundError:
        own = None
    for found in own or entry_points(group=group, name=name):
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
    # The table above names these like other commands; they are looked up when they are used.
    if name in OF_THE_SERVER:
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
    """Let flags override the environment, from which processes that a flow starts inherit them."""
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
    "orionflow.cli.",
    entries=ENTRIES,
    fallback=plugin_command,
    examples=EXAMPLES,
    callback=_without_command,
    invoke_without_command=True,
    help="Orion: decorate functions, call them, and have every state decided by rules, recorded and explained.",
    params=[
        click.Option(["--profile"], metavar="NAME", help="Use the settings of this profile."),
        click.Option(["--api-url"], metavar="URL", help="Use the API at this address."),
        click.Option(["--version"], is_flag=True, help="Print the version and exit."),
    ],
)
