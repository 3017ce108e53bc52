"""`orion task-run ls`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import NEWEST, find_flow_run
from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.query import task_run_filters
from orionflow.cli.task_run.columns import flow_run_names, list_columns
from orionflow.cli.times import Clock

SORTS = {"newest": NEWEST, "oldest": "EXPECTED_START_TIME_ASC", "name": "NAME_ASC", "ended": "END_TIME_DESC"}


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion task-run ls", "the newest 20"),
        ("orion tr ls --run @last --sort oldest --limit 100", "of one flow run, in its order"),
        ("orion tr ls state:failed flow:etl since:-24h -o json", "the API's objects"),
    ),
)
@click.argument("query", nargs=-1)
@click.option("--run", metavar="RUN", help="Only those of this flow run.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="newest", show_default=True, help="The order.")
@output_options
@time_options
def ls(query: tuple[str, ...], run: str | None, limit: int, sort: str, output: Output, clock: Clock) -> None:
    """List task runs, newest first. A QUERY narrows the list; `orion help filters` shows all of it."""
    api = backend()
    filters = task_run_filters(query, clock, api)
    if run:
        filters.setdefault("flow_runs", {})["id"] = {"any_": [find_flow_run(api, run)["id"]]}
    found = list(api.pages("/task_runs/filter", {**filters, "sort": SORTS[sort]}, limit))
    owners = flow_run_names(api, found) if output.format in ("table", "wide", "csv") else {}
    output.show_many(found, list_columns(owners, clock, output.terminal))
    if output.is_for_people:
        total = api.post("/task_runs/count", filters) if len(found) == limit else len(found)
        if total > len(found):
            output.terminal.note(f"{len(found)} of {total} shown; more with --limit.")
        elif not found:
            output.terminal.note("No task runs match.")
