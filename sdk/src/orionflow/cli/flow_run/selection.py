"""Which runs a command acts on: named ones, or all that a query finds, guarded by --max."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from orionflow.cli.addressing import NEWEST, find_flow_run
from orionflow.cli.backend import Backend, Json
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.counting import counted as many
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.query import flow_run_filters
from orionflow.cli.times import Clock

Command = TypeVar("Command", bound=Callable[..., Any])


def selection_options(command: Any) -> Any:
    """Adds RUN…, --query and --max."""
    options = [
        click.argument("runs", metavar="[RUN]...", nargs=-1),
        click.option(
            "--query", metavar="QUERY", help='All runs that match, as in ls: --query "state:pending flow:etl".'
        ),
        click.option(
            "--max", "most", default=100, show_default=True, type=click.IntRange(min=1), help="Refuse to touch more."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def selected_runs(api: Backend, runs: Sequence[str], query: str | None, most: int, clock: Clock) -> list[Json]:
    """The runs that are meant, each once; more than the guard allows is refused before anything is touched."""
    if bool(runs) == bool(query):
        raise click.UsageError("Name the runs, or give a --query; one of the two.")
    if query is None:
        return list({run["id"]: run for run in (_named_run(api, name) for name in runs)}.values())
    filters = flow_run_filters([query], clock, api)
    total = api.post("/flow_runs/count", filters)
    if total > most:
        raise CommandFailed(
            ExitCode.USAGE,
            f"The query finds {many(total, 'run')}; the guard allows {most}.",
            fix=f"narrow it, or add --max {total}",
        )
    return list(api.pages("/flow_runs/filter", {**filters, "sort": NEWEST}, most))


def _named_run(api: Backend, name: str) -> Json:
    try:
        return find_flow_run(api, name)
    except CommandFailed as missing:
        if ":" in name:
            missing.fix = f'for all runs that match: --query "{name}"'
        raise


def counted(runs: Sequence[Json]) -> str:
    """`the run brave-otter`, or `12 runs`."""
    return f"the run {runs[0]['name']}" if len(runs) == 1 else f"{len(runs)} runs"
