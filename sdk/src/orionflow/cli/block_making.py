"""`orion block create` and `register`: blocks of known types without a program, and new types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from orionflow.calls.blocks import (
    BLOCK_SCHEMAS,
    BLOCK_TYPES,
    BLOCKS,
    install_block_types,
    read_block,
    read_block_type,
    read_newest_block_schemas,
    replace_block,
)
from orionflow.cli.backend import Backend, Json
from orionflow.cli.block import known_type
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.parameters import read_pairs, read_structure, read_whole, text_fields
from orionflow.cli.session import Session, command
from orionflow.cli.terminal import current_terminal
from orionflow.spelling import did_you_mean


@command(
    ("orion block create slack-webhook/ops", "asks for what it needs"),
    ("orion block create slack-webhook/ops --values @ops.json", "fields from a file; @- is stdin"),
    ('orion block create string/greeting value="Good morning"', "a value that is not secret"),
)
@click.argument("block", metavar="TYPE/NAME")
@click.argument("pairs", metavar="[FIELD=VALUE]...", nargs=-1)
@click.option("--values", metavar="JSON", help="All fields as one JSON object, or @FILE; @- is stdin.")
@click.option("--overwrite", is_flag=True, help="Replace the fields of the block of this name.")
def create(session: Session, block: str, pairs: Sequence[str], values: str | None, overwrite: bool) -> None:
    """Create a block of a known type. `orion block type inspect TYPE` shows its fields.

    Give secrets in a file, or wait to be asked: arguments appear in the shell's history and in the list of processes.
    """
    slug, separator, name = block.partition("/")
    if not separator or not name:
        raise click.UsageError(f"{block!r} does not say of which type it is; write TYPE/NAME.")
    schema = newest_schema(session.api, slug)
    given = {**read_whole(values, "--values"), **read_pairs(pairs, "FIELD", texts=text_fields(schema["fields"]))}
    made = store_block(session.api, schema, name, completed(schema, given), overwrite=overwrite)
    session.report(f"Created the block {slug}/{name}.", made)


def newest_schema(api: Backend, slug: str) -> Json:
    """Return the newest schema of a type. The built-in types are created first if they are missing."""
    kind = find_type(api, slug)
    found = api.ask(read_newest_block_schemas(kind["id"]))
    if not found:
        raise CommandFailed(
            ExitCode.NOT_FOUND, f"The fields of blocks of the type {slug} are not known.",
            fix="orion block register FILE",
        )  # fmt: skip
    return {**found[0], "block_type": kind}


def find_type(api: Backend, slug: str) -> Json:
    """Find the type with this slug and its fields; if it is missing, create the built-in types first."""
    from orionflow.errors import NotFound

    try:
        found: Json = api.ask(read_block_type(slug))
        if api.ask(read_newest_block_schemas(found["id"])):
            return found
    except NotFound:
        pass
    api.ask(install_block_types())
    return known_type(api, slug)


def completed(schema: Json, given: Json) -> Json:
    """Return the fields, validated against the schema's names; prompt for missing ones if a user can answer."""
    fields = schema["fields"].get("properties") or {}
    for name in given:
        if fields and name not in fields:
            hint = did_you_mean(name, fields, f"it has {', '.join(fields)}.")
            raise click.UsageError(f"A block of the type {schema['block_type']['slug']} has no field {name!r}; {hint}")
    lacking = [name for name in schema["fields"].get("required") or () if name not in given]
    if lacking and not current_terminal().is_interactive:
        raise CommandFailed(
            ExitCode.USAGE, f"A block of the type {schema['block_type']['slug']} needs {', '.join(lacking)}.",
            fix="give them with --values @FILE, or as FIELD=VALUE",
        )  # fmt: skip
    return {**given, **{name: _asked_for(name, fields.get(name, {}), schema) for name in lacking}}


def _asked_for(name: str, field: Json, schema: Json) -> Any:
    secret = any(path.partition(".")[0] == name for path in schema["fields"].get("secret_fields") or ())
    text = f"{name} ({field['description']})" if field.get("description") else name
    answer: str = click.prompt(text, hide_input=secret, err=True)
    if field.get("type") in (None, "string"):
        return answer
    return read_pairs([f"{name}={answer}"], "FIELD")[name]


def store_block(api: Backend, schema: Json, name: str, data: Json, *, overwrite: bool) -> Json:
    """Create the block, or replace the fields of the block with this name."""
    from orionflow.errors import Conflict

    kind = schema["block_type"]
    body = {"name": name, "data": data, "block_type_id": kind["id"], "block_schema_id": schema["id"]}
    try:
        made: Json = api.ask(BLOCKS.create(body))
    except Conflict:
        if not overwrite:
            raise CommandFailed(
                ExitCode.CONFLICT, f"There is a block {kind['slug']}/{name} already.",
                fix="choose another name, or add --overwrite",
            ) from None  # fmt: skip
        found = api.ask(read_block(kind["slug"], name))
        api.ask(replace_block(found["id"], data, schema["id"]))
        made = api.ask(BLOCKS.read(found["id"]))
    return made


@command(
    ("orion block register login.json", "a type of your own, with its fields"),
    ("orion block register --known", "the types that a server brings along"),
)
@click.argument("file", required=False)
@click.option("--known", is_flag=True, help="Add the usual types where they are missing.")
def register(session: Session, file: str | None, known: bool) -> None:
    """Register a block type, or its new fields, from a JSON or YAML file.

    The file has `slug`, `name`, `description`, `capabilities`, and `fields`: a JSON schema, whose `secret_fields` are
    encrypted."""
    if known == (file is not None):
        raise click.UsageError("Name a file, or add --known for the usual types.")
    api = session.api
    if file is None:
        api.ask(install_block_types())
        session.announce("The usual block types are known.")
        return
    read = read_structure(file)
    kind = _stored_type(api, read, file)
    usual = {"title": kind["name"], "type": "object", "block_type_slug": kind["slug"]}
    fields = {**usual, **(read.get("fields") or {})}
    body = {"block_type_id": kind["id"], "fields": fields, "capabilities": read.get("capabilities") or []}
    made = api.ask(BLOCK_SCHEMAS.create(body))
    sentence = f"Registered the block type {kind['slug']}; fill one with orion block create {kind['slug']}/NAME"
    session.report(sentence, made, name="checksum")


def _stored_type(api: Backend, read: Any, file: str) -> Json:
    from orionflow.errors import Conflict

    if not isinstance(read, dict) or not isinstance(read.get("slug"), str):
        raise CommandFailed(ExitCode.USAGE, f"{file} does not describe a block type.", "it has no `slug:`")
    unknown = set(read) - {"slug", "name", "description", "capabilities", "fields", "logo_url", "documentation_url"}
    if unknown:
        raise CommandFailed(ExitCode.USAGE, f"{file} says {', '.join(sorted(unknown))}, unknown for a block type.")
    plain = {name: read[name] for name in ("description", "logo_url", "documentation_url") if read.get(name)}
    try:
        made: Json = api.ask(
            BLOCK_TYPES.create({"name": read.get("name") or read["slug"], "slug": read["slug"], **plain})
        )
    except Conflict:
        made = api.ask(read_block_type(read["slug"]))
        if plain:
            api.ask(BLOCK_TYPES.update(made["id"], plain))
    return made
