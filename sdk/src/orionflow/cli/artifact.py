"""`orion artifact`: what runs have left for people to read."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote
from uuid import UUID

import click

from orionflow.cli.addressing import find_flow_run
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.deleting import delete_at
from orionflow.cli.finding import missing
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.looks import first_line
from orionflow.cli.options import Output, destructive, output_options, time_options
from orionflow.cli.output import Column, as_text
from orionflow.cli.tables import Cell, render_table
from orionflow.cli.times import Clock

HERE = "orionflow.cli.artifact"
RESULT = "result"

artifact = LazyGroup(
    "artifact",
    context_settings=HELP_NAMES,
    help="Artifacts: tables, links and texts that runs have left for people. An ARTIFACT is a key or an id.",
    entries={
        "ls": Entry(f"{HERE}:ls", "List the newest artifact of each key."),
        "inspect": Entry(f"{HERE}:inspect", "Show an artifact with its content.", ("show",)),
        "delete": Entry(f"{HERE}:delete", "Delete an artifact.", ("rm",)),
    },
    examples=(("orion artifact ls", ""), ("orion artifact inspect daily-report", "its newest version")),
)


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion artifact ls", "one line for each key"),
        ("orion artifact ls --all --run @last", "everything that a run has left"),
        ("orion artifact ls -o json", "the API's objects"),
    ),
)
@click.option("--all", "every", is_flag=True, help="Every version, and artifacts without a key.")
@click.option("--key", "keys", metavar="KEY", multiple=True, help="Only of this key.")
@click.option("--run", metavar="RUN", help="Only those of this flow run.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
@time_options
def ls(every: bool, keys: tuple[str, ...], run: str | None, limit: int, output: Output, clock: Clock) -> None:
    """List the newest artifact of each key, newest first."""
    api = backend()
    wanted: Json = {"type": {"not_any_": [RESULT]}}
    if keys:
        wanted["key"] = {"any_": list(keys)}
    if run:
        wanted["flow_run_id"] = {"any_": [find_flow_run(api, run)["id"]]}
    path = "/artifacts/filter" if every or run else "/artifacts/latest/filter"
    found = list(api.pages(path, {"artifacts": wanted, "sort": "UPDATED_DESC"}, limit))
    output.show_many(found, _columns(clock), name="key")
    if output.is_for_people and not found:
        output.terminal.note("No artifacts." if every or run else "No artifacts with a key; --all shows the others.")


def _columns(clock: Clock) -> list[Column]:
    return [
        Column("KEY", lambda one: one["key"] or "-", field="key"),
        Column("TYPE", lambda one: one["type"] or "-", field="type"),
        Column("DESCRIPTION", lambda one: first_line(one["description"], 60) or "-", field="description"),
        Column("UPDATED", lambda one: clock.ago(one["updated"]), field="updated"),
        Column("ID", _id_of, field="id"),
        Column("FLOW RUN", lambda one: one["flow_run_id"] or "-", field="flow_run_id", wide=True),
    ]


def _id_of(one: Json) -> str:
    """Of a key, the API tells the id of its collection apart from that of its newest artifact."""
    return str(one.get("latest_id") or one["id"])


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion artifact inspect daily-report", "the newest of a key"),
        ("orion artifact inspect daily-report -o json", "the API's object"),
    ),
)
@click.argument("wanted", metavar="ARTIFACT")
@output_options
@time_options
def inspect(wanted: str, output: Output, clock: Clock) -> None:
    """Show an artifact with its content: a table as a table, a text as it was written."""
    found = _find(backend(), wanted)
    fields = [
        Column("id", lambda one: one["id"]),
        Column("key", lambda one: one["key"] or "-"),
        Column("type", lambda one: one["type"] or "-"),
        Column("description", lambda one: one["description"] or "-"),
        Column("flow run", lambda one: one["flow_run_id"] or "-"),
        Column("task run", lambda one: one["task_run_id"] or "-"),
        Column("created", lambda one: clock.absolute(one["created"])),
    ]
    output.show_one(found, fields, name="key")
    if output.is_for_people and not output.columns:
        output.terminal.out("")
        output.terminal.out(_content(found, output))


def _content(found: Json, output: Output) -> str:
    value = _read(found["data"])
    rows = _rows(value) if found["type"] == "table" else None
    if rows is None:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    titles, lines = rows
    cells = [[Cell(as_text(cell), as_text(cell)) for cell in line] for line in lines]
    return render_table(titles, cells, output.terminal) or "(no rows)"


def _read(data: Any) -> Any:
    """Tables are stored as JSON text by the clients that make them."""
    try:
        return json.loads(data) if isinstance(data, str) else data
    except ValueError:
        return data


def _rows(value: Any) -> tuple[list[str], list[list[Any]]] | None:
    """A list of objects, a list of rows, or an object of columns, as titles and rows of one length."""
    if isinstance(value, dict) and all(isinstance(column, list) for column in value.values()):
        longest = max((len(column) for column in value.values()), default=0)
        columns = [[*column, *[None] * (longest - len(column))] for column in value.values()]
        return list(value), [list(row) for row in zip(*columns, strict=True)]
    if not isinstance(value, list):
        return None
    if all(isinstance(row, dict) for row in value):
        titles = list(dict.fromkeys(str(name) for row in value for name in row))
        return titles, [[row.get(name) for name in titles] for row in value]
    if all(isinstance(row, list) for row in value):
        width = max(map(len, value), default=0)
        return [str(number) for number in range(1, width + 1)], [[*row, *[None] * (width - len(row))] for row in value]
    return None


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion artifact delete daily-report --dry-run", "only say which"),
        ("orion artifact rm daily-report --yes", "its key falls back to the one before"),
    ),
)
@click.argument("wanted", metavar="ARTIFACT")
@destructive
@output_options
def delete(wanted: str, yes: bool, dry_run: bool, output: Output) -> None:
    """Delete an artifact. A key falls back to the artifact before, or goes with its last one."""
    api = backend()
    found = _find(api, wanted)
    what = f"the artifact {found['key'] or found['id']}" + (f" ({found['id']})" if found["key"] else "")
    gone = delete_at(api, f"/artifacts/{found['id']}", what, yes=yes, dry_run=dry_run)
    if gone and not output.is_for_people:
        output.show_one(found, name="key")


def _find(api: Backend, wanted: str) -> Json:
    from orionflow.errors import NotFound

    try:
        path = f"/artifacts/{UUID(wanted)}"
    except ValueError:
        path = f"/artifacts/{quote(wanted, safe='')}/latest"
    try:
        found: Json = api.get(path)
    except NotFound:
        known = [one["key"] for one in api.pages("/artifacts/latest/filter", {}, 1000)]
        raise missing("artifact", wanted, known) from None
    return found
