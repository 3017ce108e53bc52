"""`orion task-run`: queries about runs of tasks."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.calls.flow_runs import FLOW_RUNS
from orionflow.calls.task_runs import TASK_RUNS, explain_task_run
from orionflow.cli.backend import Json
from orionflow.cli.columns import Col, Columns
from orionflow.cli.history import show_states, why_command
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.logs import LEVELS, log_query, print_lines, stored_lines
from orionflow.cli.lookup import NEWEST, find_flow_run, find_task_run
from orionflow.cli.output import Column
from orionflow.cli.query import task_run_filters
from orionflow.cli.resource import Resource
from orionflow.cli.run_tables import elapsed, names_by_id, run_fields, task_run_columns
from orionflow.cli.session import Session, command, limit_option, sort_option, with_params
from orionflow.cli.times import duration

task_run = LazyGroup(
    "task-run",
    __name__,
    help=(
        "Runs of tasks. A TASK_RUN is an id, the beginning of one, a name, flow-run/task-run (brave-otter/extract-0), "
        "@last or @last-failed."
    ),
    entries={
        "ls": "List task runs, newest first.",
        "inspect": "Show one task run and its states.",
        "logs": "Print the log of a task run.",
        "why": "Explain why a task run is in the state it is in.",
    },
    examples=(
        ("orion task-run ls run:brave-otter state:failed", "which tasks of this run failed?"),
        ("orion tr why @last-failed", "why did it fail?"),
    ),
)
SORTS = {"newest": NEWEST, "oldest": "EXPECTED_START_TIME_ASC", "name": "NAME_ASC", "ended": "END_TIME_DESC"}


@command(
    ("orion task-run ls", "the newest 20"),
    ("orion tr ls --run @last --sort oldest --limit 100", "of one flow run, in its order"),
    ("orion tr ls state:failed flow:etl since:-24h -o json", "the API's objects"),
    times=True,
)
@click.argument("query", nargs=-1)
@click.option("--run", metavar="RUN", help="Only those of this flow run.")
@with_params(limit_option(20), sort_option(list(SORTS)))
def ls(session: Session, query: Sequence[str], run: str | None, limit: int, sort: str) -> None:
    """List task runs, newest first. A QUERY filters the list; see `orion help filters`."""
    api = session.api
    filters = task_run_filters(query, session.clock, api)
    if run:
        filters.setdefault("flow_runs", {})["id"] = {"any_": [find_flow_run(api, run)["id"]]}
    found = list(api.pages(TASK_RUNS, {**filters, "sort": SORTS[sort]}, limit))
    total = api.ask(TASK_RUNS.count(filters)) if session.for_people and len(found) == limit else len(found)
    session.show_list(found, task_run_columns(session, found), empty="" if total else "No task runs match.")
    if total > len(found):
        session.note(f"{len(found)} of {total} shown; more with --limit.")


def _fields(session: Session, run: Json) -> Columns:
    owner = names_by_id(session.api, FLOW_RUNS, [run["flow_run_id"]]).get(run["flow_run_id"], "-")
    own = Column("flow run", lambda run: owner), Column("task", lambda run: run["task_key"], field="task_key")
    return [
        *run_fields(session, *own, took=lambda run: duration(elapsed(run))),
        Col("tags", "tags"),
        Col("cache key", "cache_key"),
        Col("inputs", row=lambda run: _inputs(run["task_inputs"])),
    ]


def _inputs(inputs: dict[str, list[Json]]) -> str:
    """Return the origin of each argument: another task run, a parameter of the flow, or a constant."""
    lines = [f"{name} from {', '.join(map(_source, sources))}" for name, sources in inputs.items() if sources]
    return "\n".join(lines) or "-"


def _source(source: Json) -> str:
    named = source.get("id") or source.get("name") or source.get("type") or ""
    return f"{source.get('input_type', 'unknown')} {named}".strip()


TASK_RUN = Resource(
    "task run", TASK_RUNS, task_run_columns, metavar="TASK_RUN",
    find=lambda session, wanted: find_task_run(session.api, wanted),
)  # fmt: skip
inspect = TASK_RUN.inspect(
    "Show one task run: its inputs, how long it took, and its states.",
    ("orion task-run inspect @last", "the newest one"),
    ("orion tr inspect brave-otter/extract-0", "of one flow run"),
    ("orion tr inspect @last-failed -o json", "the API's object"),
    fields=_fields,
    below=lambda session, run: show_states(session, explain_task_run(run["id"])),
    plain=True,
)


@command(
    ("orion task-run logs @last-failed", "what did it say before it failed?"),
    ("orion tr logs brave-otter/extract-0 --level warning", "warnings and errors only"),
    times=True,
)
@click.argument("task_run", metavar="TASK_RUN")
@click.option("--level", type=click.Choice(list(LEVELS)), help="Only this level and higher ones.")
@click.option("--grep", metavar="REGEX", help="Only lines that match.")
@click.option("--tail", metavar="N", type=click.IntRange(min=1), help="Only the last N lines.")
def logs(session: Session, task_run: str, level: str | None, grep: str | None, tail: int | None) -> None:
    """Print the log of one task run, oldest line first."""
    filters = {"task_run_id": {"any_": [find_task_run(session.api, task_run)["id"]]}}
    query = log_query(filters=filters, level=level, since=None, grep=grep, clock=session.clock)
    print_lines(stored_lines(session.api, query, tail), session)


why = why_command(
    "Explain why a task run is in the state it is in, or why it does not move.",
    ("orion task-run why @last-failed", "why did it fail?"),
    ("orion tr why brave-otter/extract-0 --all", "every state, and what every rule said"),
    metavar="TASK_RUN",
    find=find_task_run,
    explain=explain_task_run,
)
