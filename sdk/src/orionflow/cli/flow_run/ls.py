"""`orion flow-run ls`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import NEWEST
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.flow_run.columns import flow_names, list_columns
from orionflow.cli.flow_run.newest import newest_runs, pages
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.query import flow_run_filters
from orionflow.cli.times import Clock

SORTS = {
    "newest": NEWEST,
    "oldest": "EXPECTED_START_TIME_ASC",
    "name": "NAME_ASC",
    "ended": "END_TIME_DESC",
    "next": "NEXT_SCHEDULED_START_TIME_ASC",
}


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run ls", "the newest 20"),
        ('orion fr ls "state:failed,crashed since:-24h"', "what went wrong today"),
        ("orion fr ls flow:etl tag:nightly -o json", "the API's objects"),
        ("orion fr ls state:unfinished -o name", "names only, for scripts"),
    ),
)
@click.argument("query", nargs=-1)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0), help="The most runs to show.")
@click.option("--after", metavar="RUN", help="Only runs older than this one: the next page.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="newest", show_default=True, help="The order.")
@output_options
@time_options
def ls(query: tuple[str, ...], limit: int, after: str | None, sort: str, output: Output, clock: Clock) -> None:
    """List runs, newest first.

    Runs that are planned for later come last, the next one first; `--sort next` begins with them. A QUERY narrows the
    list; `orion help filters` shows all of it.
    """
    if after and sort != "newest":
        raise click.UsageError("--after pages through the newest runs; leave out --sort.")
    api = backend()
    filters = flow_run_filters(query, clock, api)
    if sort == "newest":
        runs = newest_runs(api, filters, clock, limit, after)
    else:
        runs = list(pages(api, filters, SORTS[sort], limit))
    flows = flow_names(api, runs) if output.format in ("table", "wide", "csv") else {}
    output.show_many(runs, list_columns(flows, clock, output.terminal))
    if output.is_for_people:
        _say_what_is_left(api, filters, runs, after, output)


def _say_what_is_left(api: Backend, filters: Json, runs: list[Json], after: str | None, output: Output) -> None:
    if not runs:
        output.terminal.note("No runs match." if filters else "No runs yet; start one with orion run flows.py:my_flow")
        return
    total = api.post("/flow_runs/count", filters)
    if total > len(runs):
        output.terminal.note(f"{len(runs)} of {total} shown; more with --limit, or --after {runs[-1]['id']}")
