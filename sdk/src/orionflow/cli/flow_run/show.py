"""`orion flow-run ls`, `inspect` and `why`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from orionflow.calls.flow_runs import FLOW_RUNS, explain_flow_run
from orionflow.calls.task_runs import TASK_RUNS
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import Col, Columns
from orionflow.cli.history import show_states, why_command
from orionflow.cli.lookup import BAD_STATES, NEWEST, find_flow_run
from orionflow.cli.output import Column, as_text
from orionflow.cli.query import flow_run_filters
from orionflow.cli.resource import Resource
from orionflow.cli.run_tables import (
    elapsed,
    flow_names,
    flow_run_columns,
    lasted,
    newest_runs,
    run_fields,
    run_pages,
    task_progress,
)
from orionflow.cli.session import Session, command, limit_option, sort_option, with_params
from orionflow.cli.times import duration
from orionflow.contract.states import BAD

SORTS = {
    "newest": NEWEST,
    "oldest": "EXPECTED_START_TIME_ASC",
    "name": "NAME_ASC",
    "ended": "END_TIME_DESC",
    "next": "NEXT_SCHEDULED_START_TIME_ASC",
}


@command(
    ("orion flow-run ls", "the newest 20"),
    ('orion fr ls "state:failed,crashed since:-24h"', "what went wrong today"),
    ("orion fr ls flow:etl tag:nightly -o json", "the API's objects"),
    ("orion fr ls state:unfinished -o name", "names only, for scripts"),
    times=True,
)
@click.argument("query", nargs=-1)
@with_params(
    limit_option(20, help="Show at most this many runs."),
    click.Option(["--after"], metavar="RUN", help="Only runs older than this one: the next page."),
    sort_option(list(SORTS)),
)
def ls(session: Session, query: Sequence[str], limit: int, after: str | None, sort: str) -> None:
    """List runs, newest first.

    Runs that are planned for later come last, the next one first; `--sort next` shows them first. A QUERY filters the
    list; see `orion help filters`.
    """
    if after and sort != "newest":
        raise click.UsageError("--after pages through the newest runs; leave out --sort.")
    filters = flow_run_filters(query, session.clock, session.api)
    if sort == "newest":
        runs = newest_runs(session, filters, limit, after)
    else:
        runs = list(run_pages(session.api, filters, SORTS[sort], limit))
    empty = "No runs match." if filters else "No runs yet; start one with orion run flows.py:my_flow"
    session.show_list(runs, flow_run_columns(session, runs), empty=empty)
    if session.for_people and runs:
        total = session.api.ask(FLOW_RUNS.count(filters))
        if total > len(runs):
            session.note(f"{len(runs)} of {total} shown; more with --limit, or --after {runs[-1]['id']}")


def _fields(session: Session, run: Json) -> Columns:
    flow = flow_names(session.api, [run]).get(run["flow_id"], "?")
    of_flow = Column("flow", lambda run: f"{flow} ({run['flow_version']})" if run["flow_version"] else flow)
    return [
        *run_fields(session, of_flow, took=_took),
        Col("tasks", row=lambda run: "{}/{} finished".format(*task_progress(session.api, run["id"]))),
        Col("tags", "tags"),
        Col("parameters", row=lambda run: pairs_text(run["parameters"])),
    ]


def _took(run: Json) -> str:
    running, whole = elapsed(run), lasted(run)
    # Waiting for a retry or in a pause counts for the total time, but not for the running time.
    apart = whole is not None and running is not None and whole - running > 1
    return f"{duration(running)} running, {duration(whole)} from start to end" if apart else duration(running)


def pairs_text(values: dict[str, Any] | None) -> str:
    """Return values with their names, one per line."""
    return "\n".join(f"{name} = {as_text(value)}" for name, value in (values or {}).items()) or "-"


FLOW_RUN = Resource(
    "flow run", FLOW_RUNS, flow_run_columns, metavar="RUN",
    find=lambda session, wanted: find_flow_run(session.api, wanted),
)  # fmt: skip
inspect = FLOW_RUN.inspect(
    "Show one run: what it was called with, how long it took, and its states.",
    ("orion flow-run inspect @last", "the newest run"),
    ("orion fr inspect brave-otter -o json", "the API's object"),
    ("orion fr inspect @last --columns parameters,tags", "only these fields"),
    fields=_fields,
    below=lambda session, run: show_states(session, explain_flow_run(run["id"])),
    plain=True,
)


def _bad_task_runs(api: Backend, run: Json) -> list[Json]:
    """Return the failed task runs of a failed run, where the reason is likely to be found."""
    if run["state_type"] not in BAD:
        return []
    body = {"flow_runs": {"id": {"any_": [run["id"]]}}, "task_runs": BAD_STATES, "sort": "END_TIME_DESC", "limit": 5}
    found: list[Json] = api.ask(TASK_RUNS.find(body))
    return found


why = why_command(
    "Explain why a run is in the state it is in, or why it does not move.",
    ("orion flow-run why @last", "why is it in this state?"),
    ("orion fr why brave-otter --all", "every state, and what every rule said"),
    ("orion fr why @last-failed -o json", "the API's object"),
    metavar="RUN",
    find=find_flow_run,
    explain=explain_flow_run,
    culprits=_bad_task_runs,
)
