"""`orion block`: configuration that programs stored under names; secrets in it stay masked."""

from __future__ import annotations

from collections.abc import Iterable

import click

from orionflow.calls.blocks import BLOCK_SCHEMAS, BLOCK_TYPES, BLOCKS, read_block, read_block_type
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import ID, Col, Columns, absolute, ago, line, yes_or
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.lookup import by_name, found_by, missing
from orionflow.cli.output import Column, as_text
from orionflow.cli.resource import Options, Resource
from orionflow.cli.session import Session, command
from orionflow.cli.style import first_line

block = LazyGroup(
    "block",
    __name__,
    help="Blocks: configuration that programs store under names, such as where to write and how to log in.",
    entries={
        "ls": "List blocks by type and name.",
        "create": Entry("Create a block of a known type.", "orionflow.cli.block_making"),
        "register": Entry("Register a block type and its fields.", "orionflow.cli.block_making"),
        "inspect": "Show a block, its secrets masked.",
        "delete": "Delete a block.",
        "type": "The kinds of blocks.",
        "schema": "The fields of each kind, by version.",
    },
    examples=(("orion block ls", ""), ("orion block inspect secret/github", "its value stays masked")),
)
type_ = LazyGroup(
    "type",
    __name__,
    help="The kinds of blocks that the server knows.",
    entries={
        "ls": Entry("List block types.", ":ls_types"),
        "inspect": Entry("Show a block type with its fields.", ":inspect_type"),
        "delete": Entry("Delete a block type with its blocks.", ":delete_type"),
    },
    examples=(("orion block type ls", ""), ("orion block type inspect slack-webhook", "which fields has it?")),
)
schema = LazyGroup(
    "schema",
    __name__,
    help="The fields that each kind of block has, in each version that programs have registered.",
    entries={"ls": Entry("List block schemas.", ":ls_schemas")},
    examples=(("orion block schema ls", ""), ("orion block schema ls --type secret", "")),
)
OF_TYPE = click.Option(["--type", "slug"], metavar="TYPE", help="Only those of this type.")


def find_block(session: Session, wanted: str) -> Json:
    """Find a block by `type/name`; otherwise exit 5, with similar names."""
    slug, separator, name = wanted.partition("/")
    if not separator:
        raise click.UsageError(
            f"{wanted!r} does not say of which type it is; write TYPE/NAME, as `orion block ls` does."
        )

    def known() -> list[str]:
        return [f"{one['block_type']['slug']}/{one['name']}" for one in blocks_of(session.api, None, 1000)]

    return found_by(session.api, read_block(slug, name), lambda: missing("block", wanted, known()))


def blocks_of(api: Backend, slug: str | None, limit: int) -> Iterable[Json]:
    """Fetch named blocks by type and name, of one type if it is given."""
    body: Json = {"sort": "BLOCK_TYPE_AND_NAME_ASC"}
    if slug is not None:
        body["block_types"] = {"slug": {"any_": [slug]}}
    return api.pages(BLOCKS, body, limit)


def known_type(api: Backend, slug: str) -> Json:
    """Find the type with this slug; otherwise exit 5, with similar slugs."""
    call = read_block_type(slug)
    return by_name(api, call, "block type", slug, BLOCK_TYPES, key="slug", command="orion block type ls")


def _fields(session: Session, found: Json) -> Columns:
    def field(name: str) -> Column:
        return Column(name, lambda row: as_text(row["data"][name]))

    return [
        Col("type", "block_type.slug"),
        Col("name", "name"),
        *(field(name) for name in found["data"]),
        Col("id", "id"),
        Col("created", "created", absolute),
        Col("updated", "updated", absolute),
    ]


def block_title(one: Json) -> str:
    return f"{one['block_type']['slug']}/{one['name']}"


_COLUMNS: Columns = (
    Col("TYPE", "block_type", row=lambda row: row["block_type"]["slug"]), Col("NAME", "name"),
    Col("UPDATED", "updated", ago), ID,
)  # fmt: skip
BLOCK = Resource("block", BLOCKS, _COLUMNS, metavar="TYPE/NAME", find=find_block, title=block_title)
ls = BLOCK.ls(
    "List blocks by type and name.",
    "orion block ls",
    ("orion block ls --type secret", "of one type"),
    empty="No blocks.",
    params=[OF_TYPE],
    rows=lambda session, options, limit: blocks_of(session.api, options["slug"], limit),
)
inspect = BLOCK.inspect("Show a block, its secrets masked.", "orion block inspect secret/github", fields=_fields)
delete = BLOCK.delete(
    "Delete a block. Blocks that refer to it lose the reference, and flows no longer find it.",
    "orion block delete secret/github --yes",
    what="the block {}",
)


_TYPE_COLUMNS: Columns = (
    Col("TYPE", "slug"), Col("NAME", "name"), Col("WHAT FOR", "description", line(70)), ID,
)  # fmt: skip
BLOCK_TYPE = Resource(
    "block type", BLOCK_TYPES, _TYPE_COLUMNS, metavar="TYPE", key="slug", times=False,
    find=lambda session, slug: known_type(session.api, slug),
)  # fmt: skip
ls_types = BLOCK_TYPE.ls(
    "List block types.",
    "orion block type ls",
    empty="No kinds of blocks yet; orion block register --known adds the usual ones.",
)
delete_type = BLOCK_TYPE.delete(
    "Delete a block type with all its blocks. Protected types cannot be deleted.",
    "orion block type delete login --dry-run",
    what="the block type {} with its blocks",
)


@command("orion block type inspect slack-webhook", "orion block type show secret -o json", name="inspect")
@click.argument("slug", metavar="TYPE")
def inspect_type(session: Session, slug: str) -> None:
    """Show a kind of block with its fields, and which of them are secret."""
    from orionflow.cli.block_making import newest_schema

    found = newest_schema(session.api, slug)
    if not session.for_people:
        session.show_one(found, name="checksum")
        return
    kind, fields = found["block_type"], found["fields"]
    if not session.output.columns:
        about = [
            Col("type", "slug"),
            Col("name", "name"),
            Col("what for", "description"),
        ]
        session.show_one(kind, about)
        session.terminal.out("\nfields:")
    required = fields.get("required") or ()
    secret = {path.partition(".")[0] for path in fields.get("secret_fields") or ()}
    rows = [
        {"field": name, **one, "needed": name in required, "secret": name in secret}
        for name, one in (fields.get("properties") or {}).items()
    ]
    session.show_list(rows, FIELDS, name="field")


FIELDS = [
    Col("FIELD", "field"),
    Col("TYPE", "type", row=lambda row: row.get("type") or "any"),
    Col("NEEDED", "needed", yes_or("")),
    Col("SECRET", "secret", yes_or("")),
    Col("DEFAULT", "default", row=lambda row: as_text(row["default"]) if "default" in row else ""),
    Col("MEANING", "description", row=lambda row: first_line(row.get("description") or "", 70)),
]


def _of_type(session: Session, options: Options) -> Json:
    from orionflow.cli.block_making import find_type

    slug = options["slug"]
    return {"block_schemas": {"block_type_id": {"any_": [find_type(session.api, slug)["id"]]}}} if slug else {}


_SCHEMA_COLUMNS: Columns = (
    Col("TYPE", "block_type", row=lambda row: row["block_type"]["slug"]), Col("VERSION", "version"),
    Column("FIELDS", lambda row: as_text(list(row["fields"].get("properties") or {})), field="fields"),
    Col("CAN", "capabilities"), Col("CREATED", "created", ago, wide=True), ID,
)  # fmt: skip
ls_schemas = Resource("block schema", BLOCK_SCHEMAS, _SCHEMA_COLUMNS, key="checksum").ls(
    "List the versions of the fields of blocks, newest first.",
    "orion block schema ls",
    "orion block schema ls --type secret -o json",
    empty="No schemas; orion block register --known adds the usual ones.",
    params=[OF_TYPE],
    narrow=_of_type,
)
