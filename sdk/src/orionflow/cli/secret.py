"""`orion secret`: texts that are stored sealed. A value comes from stdin or a prompt, and is never shown."""

from __future__ import annotations

import sys

import click

from orionflow.calls.blocks import BLOCKS
from orionflow.cli.backend import Json
from orionflow.cli.block import block_title, blocks_of, find_block
from orionflow.cli.columns import ID, Col, Columns, ago
from orionflow.cli.command import OrionCommand
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.resource import Resource
from orionflow.cli.session import Session, command
from orionflow.cli.terminal import current_terminal

SLUG = "secret"
secret = LazyGroup(
    "secret",
    __name__,
    help="Secrets: texts that flows and pull steps read by name. They are stored sealed, and no command shows them.",
    entries={
        "ls": "List the names of secrets.",
        "set": "Store a value, read from stdin or asked for.",
        "rotate": "Encrypt all secrets with a new key, on the server.",
        "reseal": "Encrypt all secrets with the first key, on the server.",
        "delete": Entry("Delete a secret.", aliases=("unset",)),
    },
    examples=(("orion secret set github < token.txt", "from a file"), ("orion secret ls", "")),
)


def _find(session: Session, name: str) -> Json:
    return find_block(session, f"{SLUG}/{name}")


_COLUMNS: Columns = (
    Col("NAME", "name"), Col("CREATED", "created", ago), Col("UPDATED", "updated", ago), ID,
)  # fmt: skip
SECRET = Resource("secret", BLOCKS, _COLUMNS, find=_find, title=block_title)
ls = SECRET.ls(
    "List the names of secrets.",
    "orion secret ls",
    ("orion secret ls -o json", "values are masked"),
    empty="No secrets.",
    rows=lambda session, options, limit: blocks_of(session.api, SLUG, limit),
)
delete = SECRET.delete(
    "Delete a secret. Flows and pull steps that read it will not find it.",
    "orion secret delete github --yes",
    what="the block {}",
)


@command(
    ("orion secret set github < token.txt", "from a file"),
    ("orion secret set github", "asks for it, in a terminal"),
)
@click.argument("name")
def set_(session: Session, name: str) -> None:
    """Store a value under a name, or replace it.

    The value is read from stdin, without the final newline, or asked for. It is not an argument, because arguments
    appear in the shell's history and in the list of processes."""
    from orionflow.engine.drivers import drive
    from orionflow.storage.keeping import save_secret

    is_new = drive(save_secret(session.api.client, name, _value(name), overwrite=True))
    session.note(f"Secret {name} {'created' if is_new else 'changed'}.")
    if not session.for_people:
        session.show_one(_find(session, name))


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


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion secret reseal", "after a new key was put in front of ORION_ENCRYPTION_KEYS"),
        ("orion secret reseal --dry-run -o json", "count what each kind of key opens"),
    ),
)
@click.option("--dry-run", is_flag=True, help="Count what each key decrypts, and change nothing.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the counts.")
def reseal(dry_run: bool, output: str) -> None:
    """Encrypt all secrets with the first of ORION_ENCRYPTION_KEYS, so that older keys can be removed.

    It needs the keys and the database: run it where the server runs. Exit code 1 if no key decrypts a secret.
    """
    click.get_current_context().invoke(_of_server("reseal"), dry_run=dry_run, output=output)


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion secret rotate", "a new key, and every secret sealed with it"),
        ("orion secret rotate --retire", "a minute later: older keys are forgotten"),
    ),
)
@click.option("--retire", is_flag=True, help="Make no new key; remove older keys that nothing uses.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print the outcome.")
def rotate(retire: bool, output: str) -> None:
    """Put a new key into the key file of ORION_HOME and encrypt every secret with it, while servers and runs continue.

    Older keys stay in the file until --retire, so that everything remains readable. If interrupted, run it again. For
    keys in ORION_ENCRYPTION_KEYS, change the variable and run `orion secret reseal`."""
    click.get_current_context().invoke(_of_server("rotate"), retire=retire, output=output)


def _of_server(name: str) -> click.Command:
    from orionflow.cli.root import server_group

    group = server_group("database")
    assert isinstance(group, click.Group)
    return group.commands[name]
