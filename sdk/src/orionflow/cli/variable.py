"""`orion variable`: texts that flows and pull steps read by name."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.calls.variables import VARIABLES
from orionflow.cli.backend import Json
from orionflow.cli.columns import ID, Col, Columns, absolute, ago, line
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.resource import Options, Resource
from orionflow.cli.session import Session, command

variable = LazyGroup(
    "variable",
    __name__,
    help="Variables: texts that flows and pull steps read by name. They are not a place for secrets.",
    entries={
        "ls": "List variables.",
        "get": "Print the value of a variable.",
        "set": "Set a variable.",
        "unset": Entry("Delete a variable.", aliases=("delete", "rm")),
        "inspect": "Show a variable with its times and tags.",
    },
    examples=(("orion variable set season summer", ""), ("orion variable get season", "only the value")),
)


def _tagged(session: Session, options: Options) -> Json:
    return {"variables": {"tags": {"all_": list(options["tags"])}}} if options["tags"] else {}


_COLUMNS: Columns = (
    Col("NAME", "name"), Col("VALUE", "value", line(60)), Col("TAGS", "tags"), Col("UPDATED", "updated", ago), ID,
)  # fmt: skip
VARIABLE = Resource("variable", VARIABLES, _COLUMNS)
ls = VARIABLE.ls(
    "List variables by name.",
    "orion variable ls",
    ("orion variable ls --tag shop -o json", "the API's objects"),
    empty="No variables.",
    limit=100,
    params=[click.Option(["--tag", "tags"], metavar="TAG", multiple=True, help="Only those with this tag.")],
    narrow=_tagged,
)
_FIELDS: Columns = (
    Col("name", "name"), Col("value", "value"), Col("tags", "tags"), Col("id", "id"),
    Col("created", "created", absolute), Col("updated", "updated", absolute),
)  # fmt: skip
inspect = VARIABLE.inspect("Show a variable with its times and tags.", "orion variable inspect season", fields=_FIELDS)
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
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag it; earlier tags are replaced.")
def set_(session: Session, name: str, value: str, tags: Sequence[str]) -> None:
    """Set the value of a variable, and create it if it does not exist."""
    from orionflow.errors import NotFound

    body = {"value": value, **({"tags": list(tags)} if tags else {})}
    try:
        session.api.ask(VARIABLES.update(name, body))
        done = "changed"
    except NotFound:
        session.api.ask(VARIABLES.create({"name": name, **body}))
        done = "created"
    session.note(f"Variable {name} {done}.")
    if not session.for_people:
        session.show_one(VARIABLE.found(session, name))
