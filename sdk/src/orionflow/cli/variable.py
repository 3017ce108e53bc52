"""`orion variable`: texts that flows and pull steps read by name."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.cli.backend import Json
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.output import Column, as_text
from orionflow.cli.resource import Resource, Said
from orionflow.cli.session import Session, command
from orionflow.cli.style import first_line

variable = LazyGroup(
    "variable",
    __name__,
    help="Variables: texts that flows and pull steps read by name. They are no place for secrets.",
    entries={
        "ls": "List variables.",
        "get": "Print the value of a variable.",
        "set": "Give a variable a value.",
        "unset": Entry("Delete a variable.", aliases=("delete", "rm")),
        "inspect": "Show a variable with its times and tags.",
    },
    examples=(("orion variable set season summer", ""), ("orion variable get season", "only the value")),
)


def _columns(session: Session, rows: Sequence[Json]) -> list[Column]:
    return [
        Column("NAME", lambda row: row["name"], field="name"),
        Column("VALUE", lambda row: first_line(row["value"], 60), field="value"),
        Column("TAGS", lambda row: as_text(row["tags"]), field="tags"),
        Column("UPDATED", lambda row: session.clock.ago(row["updated"]), field="updated"),
        Column("ID", lambda row: row["id"], field="id", wide=True),
    ]


def _fields(session: Session, one: Json) -> list[Column]:
    return [
        Column("name", lambda row: row["name"]),
        Column("value", lambda row: row["value"]),
        Column("tags", lambda row: as_text(row["tags"])),
        Column("id", lambda row: row["id"]),
        Column("created", lambda row: session.clock.absolute(row["created"])),
        Column("updated", lambda row: session.clock.absolute(row["updated"])),
    ]


def _tagged(session: Session, said: Said) -> Json:
    return {"variables": {"tags": {"all_": list(said["tags"])}}} if said["tags"] else {}


VARIABLE = Resource("variable", "/variables", _columns, below="/name/")
ls = VARIABLE.ls(
    "List variables by name.",
    "orion variable ls",
    ("orion variable ls --tag shop -o json", "the API's objects"),
    empty="No variables.",
    limit=100,
    options=[click.Option(["--tag", "tags"], metavar="TAG", multiple=True, help="Only those with this tag.")],
    narrow=_tagged,
)
inspect = VARIABLE.inspect("Show a variable with its times and tags.", "orion variable inspect season", fields=_fields)
unset = VARIABLE.delete(
    "Delete a variable. Flows that read it will not find it.",
    "orion variable unset season --yes",
    what="the variable {}",
    can_dry_run=False,
)


@command("orion variable get season")
@click.argument("name")
def get(session: Session, name: str) -> None:
    """Print the value of a variable, and nothing else."""
    found = VARIABLE.found(session, name)
    if session.for_people:
        session.terminal.out_exactly(found["value"])
    else:
        session.show_one(found)


@command(("orion variable set season winter", "new, or changed"), "orion variable set shop_url x --tag shop")
@click.argument("name")
@click.argument("value")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag it; the tags it had are replaced.")
def set_(session: Session, name: str, value: str, tags: Sequence[str]) -> None:
    """Give a variable a value, whether or not there is one of that name."""
    from orionflow.errors import NotFound

    body = {"value": value, **({"tags": list(tags)} if tags else {})}
    try:
        session.api.request("PATCH", VARIABLE.path_of({"name": name}), body)
        done = "changed"
    except NotFound:
        session.api.post("/variables/", {"name": name, **body})
        done = "created"
    session.note(f"Variable {name} {done}.")
    if not session.for_people:
        session.show_one(VARIABLE.found(session, name))
