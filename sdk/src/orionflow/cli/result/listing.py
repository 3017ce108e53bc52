"""`orion result ls`: the places, sizes and expirations of results, and whether they exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import click

from orionflow.calls.flow_runs import FLOW_RUNS
from orionflow.calls.results import read_results
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import Col, Columns, ago, near
from orionflow.cli.doctor import size as as_size
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import NEWEST, find_flow, find_flow_run, find_task_run
from orionflow.cli.session import Session, command, limit_option, with_params

# The number of newest runs of a flow whose results are listed.
RUNS_OF_A_FLOW = 200


@command(
    ("orion result ls", "the newest 50"),
    ("orion result ls --run @last", "of one flow run and its tasks"),
    ("orion result ls --location lake --limit 200", "in one location"),
    ("orion result ls --flow etl --expired", "what `orion result purge` deletes of it"),
    ("orion result ls -o json", "the API's objects, and whether each is there"),
    times=True,
)
@click.option("--run", metavar="RUN", help="Only those of this flow run and its tasks.")
@click.option("--task-run", metavar="TASK_RUN", help="Only that of this task run.")
@click.option("--flow", metavar="FLOW", help="Only those of the newest runs of this flow.")
@click.option("--location", metavar="NAME", help="Only those in this location or folder.")
@click.option("--expired", is_flag=True, help="Only those that have expired.")
@with_params(limit_option(50))
def ls(
    session: Session, run: str | None, task_run: str | None, flow: str | None, location: str | None, expired: bool,
    limit: int,
) -> None:  # fmt: skip
    """List stored results, of the newest runs first. Only locations that this machine may read are searched."""
    asked = wanted(session, run=run, task_run=task_run, flow=flow, location=location, expired=expired)
    rows = []
    for row in pages(session.api, asked):
        rows.append({**row, "there": is_there(row)})
        if len(rows) == limit:
            break
    session.show_list(rows, COLUMNS, empty="No stored results; persist_result=True stores them.", name="storage_key")


def wanted(
    session: Session, *, run: str | None = None, task_run: str | None = None, flow: str | None = None,
    location: str | None = None, expired: bool = False,
) -> Json:  # fmt: skip
    """Return the body of the request to the API."""
    if sum(one is not None for one in (run, task_run, flow)) > 1:
        raise CommandFailed(ExitCode.USAGE, "Name a run, a task run or a flow: one of them.")
    asked: Json = {}
    if run:
        asked["flow_run_ids"] = [UUID(find_flow_run(session.api, run)["id"])]
    if task_run:
        asked["task_run_ids"] = [UUID(find_task_run(session.api, task_run)["id"])]
    if flow:
        of_flow = {"flows": {"id": {"any_": [find_flow(session.api, flow)["id"]]}}, "sort": NEWEST}
        asked["flow_run_ids"] = [UUID(one["id"]) for one in session.api.pages(FLOW_RUNS, of_flow, RUNS_OF_A_FLOW)]
    if location:
        asked["storage"] = storage_named(location)
    if expired:
        asked["expired_before"] = session.clock.now
    return asked


def storage_named(location: str) -> str:
    """Return a location or a folder as references spell it."""
    from orionflow.results import LocalFileSystem
    from orionflow.results.locations import is_name
    from orionflow.results.stores import LOCATION, folder_of

    if is_name(location):
        return LOCATION + location
    return location if "://" in location else LocalFileSystem(folder_of(location)).where


def pages(api: Backend, asked: Json) -> Iterator[Json]:
    """Yield the API's objects, page by page."""
    for page in whole_pages(api, asked):
        yield from page["results"]


def whole_pages(api: Backend, asked: Json) -> Iterator[Json]:
    """Yield the pages in the API's form."""
    before: Any = None
    while True:
        page = api.ask(read_results(**asked, before=before))
        yield page
        if page["before"] is None:
            return
        before = UUID(page["before"])


def is_there(row: Json) -> bool | None:
    """Whether the bytes exist; None if this machine does not read from the store."""
    from orionflow.results.stores import store_named_by_reference

    try:
        return store_named_by_reference(row["storage"]).exists(row["storage_key"])
    except Exception:
        return None


def _there(row: Json) -> str:
    if row["there"] is None:
        return "not seen from here"
    if row["there"]:
        return "yes"
    return "no: never stored" if row["unstored"] else "no"


COLUMNS: Columns = (
    Col("RUN", "run_name", row=lambda one: f"{one['run_name'] or one['run_id']}"), Col("KIND", "run"),
    Col("FORMAT", "serializer_type"),
    Col("SIZE", "size", row=lambda one: "-" if one["size"] is None else as_size(one["size"])),
    Col("STORED", "stored", ago), Col("EXPIRES", "expiration", near), Col("THERE", "there", row=_there),
    Col("WHERE", "storage"), Col("KEY", "storage_key", wide=True), Col("RUN ID", "run_id", wide=True),
)  # fmt: skip
