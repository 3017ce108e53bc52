"""`orion variable`: texts that flows and pull steps read by name."""

from __future__ import annotations

from urllib.parse import quote

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.finding import named
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.looks import first_line
from orionflow.cli.options import Output, ask_before, output_options, time_options
from orionflow.cli.output import Column, as_text
from orionflow.cli.times import Clock

HERE = "orionflow.cli.variable"

variable = LazyGroup(
    "variable",
    context_settings=HELP_NAMES,
    help="Variables: texts that flows and pull steps read by name. They are no place for secrets.",
    entries={
        "ls": Entry(f"{HERE}:ls", "List variables."),
        "get": Entry(f"{HERE}:get", "Print the value of a variable."),
        "set": Entry(f"{HERE}:set_", "Give a variable a value."),
        "unset": Entry(f"{HERE}:unset", "Delete a variable.", ("delete", "rm")),
        "inspect": Entry(f"{HERE}:inspect", "Show a variable with its times and tags.", ("show",)),
    },
    examples=(("orion variable set season summer", ""), ("orion variable get season", "only the value")),
)


@click.command(
    cls=OrionCommand,
    examples=(("orion variable ls", ""), ("orion variable ls --tag shop -o json", "the API's objects")),
)
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only those with this tag.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
@time_options
def ls(tags: tuple[str, ...], limit: int, output: Output, clock: Clock) -> None:
    """List variables by name."""
    body: Json = {"variables": {"tags": {"all_": list(tags)}}} if tags else {}
    found = list(backend().pages("/variables/filter", body, limit))
    output.show_many(found, _columns(clock))
    if output.is_for_people and not found:
        output.terminal.note("No variables.")


def _columns(clock: Clock) -> list[Column]:
    return [
        Column("NAME", lambda row: row["name"], field="name"),
        Column("VALUE", lambda row: first_line(row["value"], 60), field="value"),
        Column("TAGS", lambda row: as_text(row["tags"]), field="tags"),
        Column("UPDATED", lambda row: clock.ago(row["updated"]), field="updated"),
        Column("ID", lambda row: row["id"], field="id", wide=True),
    ]


@click.command(cls=OrionCommand, examples=(("orion variable get season", ""),))
@click.argument("name")
@output_options
def get(name: str, output: Output) -> None:
    """Print the value of a variable, and nothing else."""
    found = _find(backend(), name)
    if output.is_for_people:
        output.terminal.out_exactly(found["value"])
    else:
        output.show_one(found)


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion variable set season winter", "new, or changed"),
        ("orion variable set shop_url x --tag shop", ""),
    ),
)
@click.argument("name")
@click.argument("value")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag it; the tags it had are replaced.")
@output_options
def set_(name: str, value: str, tags: tuple[str, ...], output: Output) -> None:
    """Give a variable a value, whether or not there is one of that name."""
    from orionflow.errors import NotFound

    api = backend()
    body = {"value": value, **({"tags": list(tags)} if tags else {})}
    try:
        api.request("PATCH", _path(name), body)
        done = "changed"
    except NotFound:
        api.post("/variables/", {"name": name, **body})
        done = "created"
    output.terminal.note(f"Variable {name} {done}.")
    if not output.is_for_people:
        output.show_one(_find(api, name))


@click.command(cls=OrionCommand, examples=(("orion variable unset season --yes", ""),))
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_options
def unset(name: str, yes: bool, output: Output) -> None:
    """Delete a variable. Flows that read it will not find it."""
    from orionflow.cli.terminal import current_terminal

    api = backend()
    found = _find(api, name)
    ask_before(f"delete the variable {name}", yes=yes)
    api.delete(_path(name))
    current_terminal().note(f"Deleted the variable {name}.")
    if not output.is_for_people:
        output.show_one(found)


@click.command(cls=OrionCommand, examples=(("orion variable inspect season", ""),))
@click.argument("name")
@output_options
@time_options
def inspect(name: str, output: Output, clock: Clock) -> None:
    """Show a variable with its times and tags."""
    fields = [
        Column("name", lambda row: row["name"]),
        Column("value", lambda row: row["value"]),
        Column("tags", lambda row: as_text(row["tags"])),
        Column("id", lambda row: row["id"]),
        Column("created", lambda row: clock.absolute(row["created"])),
        Column("updated", lambda row: clock.absolute(row["updated"])),
    ]
    output.show_one(_find(backend(), name), fields)


def _find(api: Backend, name: str) -> Json:
    return named(api, _path(name), "variable", name, "/variables/filter")


def _path(name: str) -> str:
    return f"/variables/name/{quote(name, safe='')}"
