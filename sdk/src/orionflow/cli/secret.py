"""`orion secret`: texts that are stored sealed. A value comes from stdin or a prompt, and is never shown."""

from __future__ import annotations

import sys

import click

from orionflow.cli.backend import backend
from orionflow.cli.block import delete_block, find_block, find_blocks
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.options import Output, destructive, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.terminal import current_terminal
from orionflow.cli.times import Clock

HERE = "orionflow.cli.secret"
SLUG = "secret"

secret = LazyGroup(
    "secret",
    context_settings=HELP_NAMES,
    help="Secrets: texts that flows and pull steps read by name. They are stored sealed, and no command shows them.",
    entries={
        "ls": Entry(f"{HERE}:ls", "List the names of secrets."),
        "set": Entry(f"{HERE}:set_", "Store a value, read from stdin or asked for."),
        "reseal": Entry(f"{HERE}:reseal", "Seal all with the first key, on the server's machine."),
        "delete": Entry(f"{HERE}:delete", "Delete a secret.", ("rm", "unset")),
    },
    examples=(("orion secret set github < token.txt", "from a file"), ("orion secret ls", "")),
)


@click.command(cls=OrionCommand, examples=(("orion secret ls", ""), ("orion secret ls -o json", "values are masked")))
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
@time_options
def ls(limit: int, output: Output, clock: Clock) -> None:
    """List the names of secrets."""
    found = find_blocks(backend(), SLUG, limit)
    output.show_many(found, _columns(clock))
    if output.is_for_people and not found:
        output.terminal.note("No secrets.")


def _columns(clock: Clock) -> list[Column]:
    return [
        Column("NAME", lambda row: row["name"], field="name"),
        Column("CREATED", lambda row: clock.ago(row["created"]), field="created"),
        Column("UPDATED", lambda row: clock.ago(row["updated"]), field="updated"),
        Column("ID", lambda row: row["id"], field="id", wide=True),
    ]


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion secret set github < token.txt", "from a file"),
        ("orion secret set github", "asks for it, where somebody can answer"),
    ),
)
@click.argument("name")
@output_options
def set_(name: str, output: Output) -> None:
    """Store a value under a name, whether or not there is one of that name.

    It is read from stdin, without the newline at its end, or asked for at the terminal. It is no argument, as those
    stand in the shell's history and in the list of processes.
    """
    from orionflow.engine.drivers import drive
    from orionflow.storage.keeping import save_secret

    api = backend()
    is_new = drive(save_secret(api.client, name, _value(name), overwrite=True))
    current_terminal().note(f"Secret {name} {'created' if is_new else 'changed'}.")
    if not output.is_for_people:
        output.show_one(find_block(api, f"{SLUG}/{name}"))


def _value(name: str) -> str:
    if current_terminal().is_interactive:
        asked: str = click.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise CommandFailed(
            ExitCode.USAGE, "No value came on stdin.", "the secret was left as it is", f"orion secret set {name} < FILE"
        )
    return value


@click.command(cls=OrionCommand, examples=(("orion secret delete github --yes", ""),))
@click.argument("name")
@destructive
@output_options
def delete(name: str, yes: bool, dry_run: bool, output: Output) -> None:
    """Delete a secret. Flows and pull steps that read it will not find it."""
    api = backend()
    delete_block(api, find_block(api, f"{SLUG}/{name}"), output, yes=yes, dry_run=dry_run)


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion secret reseal", "after a new key was put in front of ORION_ENCRYPTION_KEYS"),
        ("orion secret reseal --dry-run -o json", "count what each kind of key opens"),
    ),
)
@click.option("--dry-run", is_flag=True, help="Count what each kind of key opens, and change nothing.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the counts.")
def reseal(dry_run: bool, output: str) -> None:
    """Seal with the first of ORION_ENCRYPTION_KEYS what older keys open, so that these can be retired.

    It needs the keys and the database: run it where the server runs. Exit code 1 if no key opens a secret.
    """
    from orionflow.cli.root import server_group

    group = server_group("database")
    assert isinstance(group, click.Group)
    run = group.commands["reseal"].callback
    assert run is not None
    run(dry_run=dry_run, output=output)
