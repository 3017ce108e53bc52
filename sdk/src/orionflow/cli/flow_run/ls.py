"""`orion flow-run ls`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import NEWEST, find_flow_run
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.flow_run.columns import flow_names, list_columns
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.query import flow_run_filters
from orionflow.cli.times import Clock, read_moment

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
    """List runs, newest first. A QUERY narrows the list; `orion help filters` shows all of it."""
    if after and sort != "newest":
        raise click.UsageError("--after pages through the newest runs; leave out --sort.")
    api, filters = backend(), flow_run_filters(query, clock)
    runs = _page_after(api, filters, after, limit) if after else _page(api, filters, SORTS[sort], limit)
    flows = flow_names(api, runs) if output.format in ("table", "wide", "csv") else {}
    output.show_many(runs, list_columns(flows, clock, output.terminal))
    if output.is_for_people:
        _say_what_is_left(api, filters, runs, after, output)


def _page(api: Backend, filters: Json, sort: str, limit: int) -> list[Json]:
    return list(api.pages("/flow_runs/filter", {**filters, "sort": sort}, limit))


def _page_after(api: Backend, filters: Json, after: str, limit: int) -> list[Json]:
    """The runs behind one run in the order of the list, whatever was added at its front since then."""
    last = find_flow_run(api, after)
    narrowed = _until(filters, last["expected_start_time"])
    position = (read_moment(last["expected_start_time"]), last["id"])
    rows = api.pages("/flow_runs/filter", {**narrowed, "sort": NEWEST}, None)
    behind = (run for run in rows if (read_moment(run["expected_start_time"]), run["id"]) < position)
    return [run for run, _ in zip(behind, range(limit), strict=False)]


def _until(filters: Json, moment: str) -> Json:
    runs = filters.get("flow_runs", {})
    times = {**runs.get("expected_start_time", {}), "before_": moment}
    return {**filters, "flow_runs": {**runs, "expected_start_time": times}}


def _say_what_is_left(api: Backend, filters: Json, runs: list[Json], after: str | None, output: Output) -> None:
    if not runs:
        output.terminal.note("No runs match." if filters else "No runs yet; start one with orion run flows.py:my_flow")
        return
    total = api.post("/flow_runs/count", filters)
    if total > len(runs):
        output.terminal.note(f"{len(runs)} of {total} shown; more with --limit, or --after {runs[-1]['id']}")
