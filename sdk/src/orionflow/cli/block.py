"""`orion block`: configuration that programs have stored under names; secrets in it stay masked."""

from __future__ import annotations

from urllib.parse import quote

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.deleting import delete_at
from orionflow.cli.finding import missing
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
        "inspect": Entry(f"{HERE}:inspect", "Show a block, its secrets masked.", ("show",)),
        "delete": Entry(f"{HERE}:delete", "Delete a block.", ("rm",)),
        "type": Entry(f"{HERE}:type_", "The kinds of blocks."),
    },
    examples=(("orion block ls", ""), ("orion block inspect secret/github", "its value stays masked")),
)

type_ = LazyGroup(
    "type",
    context_settings=HELP_NAMES,
    help="The kinds of blocks that the server knows.",
    entries={"ls": Entry(f"{HERE}:ls_types", "List the kinds of blocks.")},
    examples=(("orion block type ls", ""),),
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
        Column("UPDATED", lambda row: clock.near(row["updated"]), field="updated"),
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
def delete(block: str, yes: bool, dry_run: bool) -> None:
    """Delete a block. Blocks that hold it lose it, and flows that read it will not find it."""
    api = backend()
    delete_block(api, find_block(api, block), yes=yes, dry_run=dry_run)


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
    output.show_many(list(backend().pages("/block_types/filter", {}, limit)), columns, name="slug")


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


def delete_block(api: Backend, found: Json, *, yes: bool, dry_run: bool) -> None:
    what = f"the block {found['block_type']['slug']}/{found['name']}"
    delete_at(api, f"/block_documents/{found['id']}", what, yes=yes, dry_run=dry_run)
