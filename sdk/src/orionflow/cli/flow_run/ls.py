"""`orion flow-run ls`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

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

Position = tuple[int, float, int]
# The server's clock may be a little ahead of ours.
AHEAD = timedelta(seconds=30)
# A time that was a float on its way asks for a little more, which is left out again.
ROUNDING = timedelta(milliseconds=1)


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
    api, filters = backend(), flow_run_filters(query, clock)
    if sort == "newest":
        runs = _newest(api, filters, clock, after, limit)
    else:
        runs = list(_pages(api, filters, SORTS[sort], limit))
    flows = flow_names(api, runs) if output.format in ("table", "wide", "csv") else {}
    output.show_many(runs, list_columns(flows, clock, output.terminal))
    if output.is_for_people:
        _say_what_is_left(api, filters, runs, after, output)


def _newest(api: Backend, filters: Json, clock: Clock, after: str | None, limit: int) -> list[Json]:
    """Runs whose time has come, newest first; behind them the planned ones, the next one first.

    With `after` those behind one run in this order, whatever was added at its front since then.
    """
    now = clock.now + AHEAD
    last = _position(find_flow_run(api, after), now) if after else None
    # Behind another run it is not known beforehand how many have to be read.
    most = limit if last is None else None
    lines = (_begun(api, filters, now, last, most), _planned(api, filters, now, last, most))
    rows = (run for line in lines for run in line if last is None or _position(run, now) > last)
    return list(islice(rows, limit))


def _position(run: Json, now: datetime) -> Position:
    """The place of a run in the list: it grows from the first line to the last."""
    expected, number = _expected(run), UUID(run["id"]).int
    return (1, expected.timestamp(), number) if expected > now else (0, -expected.timestamp(), -number)


def _begun(api: Backend, filters: Json, now: datetime, last: Position | None, most: int | None) -> Iterator[Json]:
    if last is not None and last[0]:
        return iter(())
    until = now if last is None else datetime.fromtimestamp(-last[1], UTC) + ROUNDING
    narrowed = _between(filters, None, min(until, now))
    return (run for run in _pages(api, narrowed, NEWEST, most) if _expected(run) <= now)


def _planned(api: Backend, filters: Json, now: datetime, last: Position | None, most: int | None) -> Iterator[Json]:
    since = datetime.fromtimestamp(last[1], UTC) - ROUNDING if last is not None and last[0] else now
    narrowed = _between(filters, max(since, now), None)
    return (run for run in _pages(api, narrowed, "EXPECTED_START_TIME_ASC", most) if _expected(run) > now)


def _pages(api: Backend, filters: Json, sort: str, most: int | None) -> Iterator[Json]:
    return api.pages("/flow_runs/filter", {**filters, "sort": sort}, most)


def _expected(run: Json) -> datetime:
    moment = read_moment(run["expected_start_time"])
    assert moment is not None
    return moment


def _between(filters: Json, after: datetime | None, before: datetime | None) -> Json:
    """The filters, and these bounds where theirs are wider."""
    runs = filters.get("flow_runs", {})
    times = dict(runs.get("expected_start_time", {}))
    if before is not None:
        times["before_"] = min(before, read_moment(times.get("before_")) or before).isoformat()
    if after is not None:
        times["after_"] = max(after, read_moment(times.get("after_")) or after).isoformat()
    return {**filters, "flow_runs": {**runs, "expected_start_time": times}}


def _say_what_is_left(api: Backend, filters: Json, runs: list[Json], after: str | None, output: Output) -> None:
    if not runs:
        output.terminal.note("No runs match." if filters else "No runs yet; start one with orion run flows.py:my_flow")
        return
    total = api.post("/flow_runs/count", filters)
    if total > len(runs):
        output.terminal.note(f"{len(runs)} of {total} shown; more with --limit, or --after {runs[-1]['id']}")
