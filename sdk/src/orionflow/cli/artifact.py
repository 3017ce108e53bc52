"""`orion artifact`: content that runs have stored for users to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from orionflow.calls import Collection
from orionflow.calls.records import ARTIFACTS, LATEST_ARTIFACTS, read_latest_artifact
from orionflow.cli.backend import Json
from orionflow.cli.columns import Col, Columns, absolute, ago, line
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.lookup import as_uuid, find_flow_run, found_by, listed, missing
from orionflow.cli.output import as_text
from orionflow.cli.resource import Resource
from orionflow.cli.session import Session, command, limit_option, with_params
from orionflow.cli.tables import Cell, render_table
from orionflow.cli.terminal import Terminal

artifact = LazyGroup(
    "artifact",
    __name__,
    help="Artifacts: tables, links and texts that runs have left for people. An ARTIFACT is a key or an id.",
    entries={
        "ls": "List the newest artifact of each key.",
        "inspect": "Show an artifact with its content.",
        "delete": "Delete an artifact.",
    },
    examples=(("orion artifact ls", ""), ("orion artifact inspect daily-report", "its newest version")),
)
RESULT = "result"


@command(
    ("orion artifact ls", "one line for each key"),
    ("orion artifact ls --all --run @last", "everything that a run has left"),
    ("orion artifact ls -o json", "the API's objects"),
    times=True,
)
@click.option("--all", "every", is_flag=True, help="Include earlier versions, and artifacts without a key.")
@click.option("--key", "keys", metavar="KEY", multiple=True, help="Only of this key.")
@click.option("--run", metavar="RUN", help="Only those of this flow run.")
@with_params(limit_option(50))
def ls(session: Session, every: bool, keys: Sequence[str], run: str | None, limit: int) -> None:
    """List the newest artifact of each key, newest first."""
    wanted: Json = {"type": {"not_any_": [RESULT]}}
    if keys:
        wanted["key"] = {"any_": list(keys)}
    if run:
        wanted["flow_run_id"] = {"any_": [find_flow_run(session.api, run)["id"]]}
    asked: Collection[Any] = ARTIFACTS if every or run else LATEST_ARTIFACTS
    found = list(session.api.pages(asked, {"artifacts": wanted, "sort": "UPDATED_DESC"}, limit))
    empty = "No artifacts." if every or run else "No artifacts with a key; --all shows the others."
    ARTIFACT.show(session, found, empty)


def _find(session: Session, wanted: str) -> Json:
    whole = as_uuid(wanted)
    call = ARTIFACTS.read(whole) if whole else read_latest_artifact(wanted)

    def known() -> list[str]:
        return [one["key"] for one in listed(session.api, LATEST_ARTIFACTS)]

    return found_by(session.api, call, lambda: missing("artifact", wanted, known()))


def _title(found: Json) -> str:
    return f"{found['key']} ({found['id']})" if found["key"] else str(found["id"])


def _show_content(session: Session, found: Json) -> None:
    session.terminal.out("")
    session.terminal.out(_content(found, session.terminal))


_COLUMNS: Columns = (
    Col("KEY", "key"), Col("TYPE", "type"), Col("DESCRIPTION", "description", line(60, "-")),
    Col("UPDATED", "updated", ago),
    # The id of a key's collection differs from that of its newest artifact.
    Col("ID", "id", row=lambda one: str(one.get("latest_id") or one["id"])),
    Col("FLOW RUN", "flow_run_id", wide=True),
)  # fmt: skip
ARTIFACT = Resource("artifact", ARTIFACTS, _COLUMNS, metavar="ARTIFACT", key="key", find=_find, title=_title)
_FIELDS: Columns = (
    Col("id", "id"), Col("key", "key"), Col("type", "type"), Col("description", "description"),
    Col("flow run", "flow_run_id"), Col("task run", "task_run_id"), Col("created", "created", absolute),
)  # fmt: skip
inspect = ARTIFACT.inspect(
    "Show an artifact with its content: a table as a table, a text as it was written.",
    ("orion artifact inspect daily-report", "the newest of a key"),
    ("orion artifact inspect daily-report -o json", "the API's object"),
    fields=_FIELDS,
    below=_show_content,
)
delete = ARTIFACT.delete(
    "Delete an artifact. Its key then shows the artifact before, if there is one.",
    ("orion artifact delete daily-report --dry-run", "only say which"),
    ("orion artifact rm daily-report --yes", "its key falls back to the one before"),
    what="the artifact {}",
)


def _content(found: Json, terminal: Terminal) -> str:
    value = _read(found["data"])
    rows = _rows(value) if found["type"] == "table" else None
    if rows is None:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    titles, lines = rows
    cells = [[Cell(as_text(cell), as_text(cell)) for cell in line] for line in lines]
    return render_table(titles, cells, terminal) or "(no rows)"


def _read(data: Any) -> Any:
    """Decode the JSON text in which clients store tables; return other data unchanged."""
    try:
        return json.loads(data) if isinstance(data, str) else data
    except ValueError:
        return data


def _rows(value: Any) -> tuple[list[str], list[list[Any]]] | None:
    """Return a list of objects, a list of rows, or an object of columns, as titles and rows of one length."""
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
