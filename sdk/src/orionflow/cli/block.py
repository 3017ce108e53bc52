"""`orion block`: configuration that programs have stored under names; secrets in it stay masked."""

from __future__ import annotations

from urllib.parse import quote

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.deleting import delete_at
from orionflow.cli.finding import missing, named
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.looks import first_line
from orionflow.cli.options import Output, destructive, output_options, time_options
from orionflow.cli.output import Column, as_text
from orionflow.cli.times import Clock

HERE = "orionflow.cli.block"

block = LazyGroup(
    "block",
    context_settings=HELP_NAMES,
    help="Blocks: configuration that programs store under names, such as where to write and how to log in.",
    entries={
        "ls": Entry(f"{HERE}:ls", "List blocks by type and name."),
        "create": Entry("orionflow.cli.block_making:create", "Create a block of a known type."),
        "register": Entry("orionflow.cli.block_making:register", "Make a block type and its fields known."),
        "inspect": Entry(f"{HERE}:inspect", "Show a block, its secrets masked.", ("show",)),
        "delete": Entry(f"{HERE}:delete", "Delete a block.", ("rm",)),
        "type": Entry(f"{HERE}:type_", "The kinds of blocks."),
        "schema": Entry(f"{HERE}:schema", "The fields of each kind, by version."),
    },
    examples=(("orion block ls", ""), ("orion block inspect secret/github", "its value stays masked")),
)

type_ = LazyGroup(
    "type",
    context_settings=HELP_NAMES,
    help="The kinds of blocks that the server knows.",
    entries={
        "ls": Entry(f"{HERE}:ls_types", "List the kinds of blocks."),
        "inspect": Entry(f"{HERE}:inspect_type", "Show a kind of block with its fields.", ("show",)),
        "delete": Entry(f"{HERE}:delete_type", "Delete a kind of block with its blocks.", ("rm",)),
    },
    examples=(("orion block type ls", ""), ("orion block type inspect slack-webhook", "which fields has it?")),
)

schema = LazyGroup(
    "schema",
    context_settings=HELP_NAMES,
    help="The fields that each kind of block has, in each version that programs have registered.",
    entries={"ls": Entry(f"{HERE}:ls_schemas", "List the versions of the fields of blocks.")},
    examples=(("orion block schema ls", ""), ("orion block schema ls --type secret", "")),
)


@click.command(cls=OrionCommand, examples=(("orion block ls", ""), ("orion block ls --type secret", "of one type")))
@click.option("--type", "slug", metavar="TYPE", help="Only those of this type.")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
@time_options
def ls(slug: str | None, limit: int, output: Output, clock: Clock) -> None:
    """List blocks by type and name."""
    found = find_blocks(backend(), slug, limit)
    output.show_many(found, _columns(clock))
    if output.is_for_people and not found:
        output.terminal.note("No blocks.")


def _columns(clock: Clock) -> list[Column]:
    return [
        Column("TYPE", lambda row: row["block_type"]["slug"], field="block_type"),
        Column("NAME", lambda row: row["name"], field="name"),
        Column("UPDATED", lambda row: clock.ago(row["updated"]), field="updated"),
        Column("ID", lambda row: row["id"], field="id", wide=True),
    ]


@click.command(cls=OrionCommand, examples=(("orion block inspect secret/github", ""),))
@click.argument("block", metavar="TYPE/NAME")
@output_options
@time_options
def inspect(block: str, output: Output, clock: Clock) -> None:
    """Show a block, its secrets masked."""
    found = find_block(backend(), block)
    fields = [
        Column("type", lambda row: row["block_type"]["slug"]),
        Column("name", lambda row: row["name"]),
        *(_field(name) for name in found["data"]),
        Column("id", lambda row: row["id"]),
        Column("created", lambda row: clock.absolute(row["created"])),
        Column("updated", lambda row: clock.absolute(row["updated"])),
    ]
    output.show_one(found, fields)


def _field(name: str) -> Column:
    return Column(name, lambda row: as_text(row["data"][name]))


@click.command(cls=OrionCommand, examples=(("orion block delete secret/github --yes", ""),))
@click.argument("block", metavar="TYPE/NAME")
@destructive
@output_options
def delete(block: str, yes: bool, dry_run: bool, output: Output) -> None:
    """Delete a block. Blocks that hold it lose it, and flows that read it will not find it."""
    api = backend()
    delete_block(api, find_block(api, block), output, yes=yes, dry_run=dry_run)


@click.command(cls=OrionCommand, examples=(("orion block type ls", ""),))
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
def ls_types(limit: int, output: Output) -> None:
    """List the kinds of blocks."""
    columns = [
        Column("TYPE", lambda row: row["slug"], field="slug"),
        Column("NAME", lambda row: row["name"], field="name"),
        Column("WHAT FOR", lambda row: first_line(row["description"] or "", 70), field="description"),
        Column("ID", lambda row: row["id"], field="id", wide=True),
    ]
    found = list(backend().pages("/block_types/filter", {}, limit))
    output.show_many(found, columns, name="slug")
    if output.is_for_people and not found:
        output.terminal.note("No kinds of blocks yet; orion block register --known adds the usual ones.")


@click.command(
    cls=OrionCommand,
    examples=(("orion block type inspect slack-webhook", ""), ("orion block type show secret -o json", "")),
)
@click.argument("slug", metavar="TYPE")
@output_options
def inspect_type(slug: str, output: Output) -> None:
    """Show a kind of block with its fields, and which of them are secret."""
    from orionflow.cli.block_making import newest_schema

    found = newest_schema(backend(), slug)
    if not output.is_for_people:
        output.show_one(found, name="checksum")
        return
    kind, fields = found["block_type"], found["fields"]
    about = [
        Column("type", lambda row: row["slug"]),
        Column("name", lambda row: row["name"]),
        Column("what for", lambda row: row["description"] or "-"),
    ]
    if not output.columns:
        output.show_one(kind, about)
        output.terminal.out("\nfields:")
    required = fields.get("required") or ()
    secret = {path.partition(".")[0] for path in fields.get("secret_fields") or ()}
    rows = [
        {"field": name, **one, "needed": name in required, "secret": name in secret}
        for name, one in (fields.get("properties") or {}).items()
    ]
    output.show_many(rows, FIELDS, name="field")


FIELDS = [
    Column("FIELD", lambda row: row["field"], field="field"),
    Column("TYPE", lambda row: row.get("type") or "any", field="type"),
    Column("NEEDED", lambda row: "yes" if row["needed"] else "", field="needed"),
    Column("SECRET", lambda row: "yes" if row["secret"] else "", field="secret"),
    Column("DEFAULT", lambda row: as_text(row["default"]) if "default" in row else "", field="default"),
    Column("MEANING", lambda row: first_line(row.get("description") or "", 70), field="description"),
]


@click.command(cls=OrionCommand, examples=(("orion block type delete login --dry-run", ""),))
@click.argument("slug", metavar="TYPE")
@destructive
@output_options
def delete_type(slug: str, yes: bool, dry_run: bool, output: Output) -> None:
    """Delete a kind of block with all blocks of it. Kinds that programs count on stay."""
    api = backend()
    found = named(
        api, f"/block_types/slug/{quote(slug, safe='')}", "block type", slug, "/block_types/filter", key="slug",
        command="orion block type ls",
    )  # fmt: skip
    what = f"the block type {slug} with its blocks"
    if delete_at(api, f"/block_types/{found['id']}", what, yes=yes, dry_run=dry_run) and not output.is_for_people:
        output.show_one(found, name="slug")


@click.command(
    cls=OrionCommand, examples=(("orion block schema ls", ""), ("orion block schema ls --type secret -o json", ""))
)
@click.option("--type", "slug", metavar="TYPE", help="Only those of this type.")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
@time_options
def ls_schemas(slug: str | None, limit: int, output: Output, clock: Clock) -> None:
    """List the versions of the fields of blocks, newest first."""
    from orionflow.cli.block_making import find_type

    api = backend()
    body: Json = {"block_schemas": {"block_type_id": {"any_": [find_type(api, slug)["id"]]}}} if slug else {}
    columns = [
        Column("TYPE", lambda row: row["block_type"]["slug"], field="block_type"),
        Column("VERSION", lambda row: row["version"], field="version"),
        Column("FIELDS", lambda row: as_text(list(row["fields"].get("properties") or {})), field="fields"),
        Column("CAN", lambda row: as_text(row["capabilities"]), field="capabilities"),
        Column("CREATED", lambda row: clock.ago(row["created"]), field="created", wide=True),
        Column("ID", lambda row: row["id"], field="id", wide=True),
    ]
    found = list(api.pages("/block_schemas/filter", body, limit))
    output.show_many(found, columns, name="checksum")
    if output.is_for_people and not found:
        output.terminal.note("No schemas; orion block register --known adds the usual ones.")


def find_blocks(api: Backend, slug: str | None, limit: int) -> list[Json]:
    """Named blocks, of one type if it is said, by type and name."""
    body: Json = {"sort": "BLOCK_TYPE_AND_NAME_ASC"}
    if slug is not None:
        body["block_types"] = {"slug": {"any_": [slug]}}
    return list(api.pages("/block_documents/filter", body, limit))


def find_block(api: Backend, block: str) -> Json:
    """The block that is meant by `type/name`; otherwise exit 5, with names that are like it."""
    from orionflow.errors import NotFound

    slug, separator, name = block.partition("/")
    if not separator:
        raise click.UsageError(
            f"{block!r} does not say of which type it is; write TYPE/NAME, as `orion block ls` does."
        )
    try:
        found: Json = api.get(f"/block_types/slug/{quote(slug, safe='')}/block_documents/name/{quote(name, safe='')}")
    except NotFound:
        known = [f"{one['block_type']['slug']}/{one['name']}" for one in find_blocks(api, None, 1000)]
        raise missing("block", block, known) from None
    return found


def delete_block(api: Backend, found: Json, output: Output, *, yes: bool, dry_run: bool) -> None:
    what = f"the block {found['block_type']['slug']}/{found['name']}"
    gone = delete_at(api, f"/block_documents/{found['id']}", what, yes=yes, dry_run=dry_run)
    if gone and not output.is_for_people:
        output.show_one(found)
