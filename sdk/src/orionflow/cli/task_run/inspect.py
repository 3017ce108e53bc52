"""`orion task-run inspect`."""

from __future__ import annotations

import click

from orionflow.cli.addressing import find_task_run
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.flow_run.columns import began, elapsed, state_column
from orionflow.cli.histories import show_states
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column, as_text
from orionflow.cli.task_run.columns import flow_run_names
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock, duration


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion task-run inspect @last", "the newest one"),
        ("orion tr inspect brave-otter/extract-0", "of one flow run"),
        ("orion tr inspect @last-failed -o json", "the API's object"),
    ),
)
@click.argument("task_run", metavar="TASK_RUN")
@output_options
@time_options
def inspect(task_run: str, output: Output, clock: Clock) -> None:
    """Show one task run: its inputs, how long it took, and its states."""
    api = backend()
    found = find_task_run(api, task_run)
    if not output.is_for_people:
        output.show_one(found)
        return
    output.show_one(found, fields_of(api, found, clock, output.terminal))
    if not output.columns:
        show_states(api, f"/task_runs/{found['id']}", clock, output.terminal)


def fields_of(api: Backend, run: Json, clock: Clock, terminal: Terminal) -> list[Column]:
    owner = flow_run_names(api, [run]).get(run["flow_run_id"], "-")
    state = state_column(terminal)
    return [
        Column("id", lambda run: run["id"]),
        Column("name", lambda run: run["name"]),
        Column("flow run", lambda run: owner),
        Column("task", lambda run: run["task_key"], field="task_key"),
        Column("state", state.text, state.field, paint=state.paint),
        Column("message", lambda run: (run.get("state") or {}).get("message") or "-"),
        Column("started", lambda run: clock.absolute(began(run)), field="start_time"),
        Column("ended", lambda run: clock.absolute(run["end_time"]), field="end_time"),
        Column("took", lambda run: duration(elapsed(run))),
        Column("tries", lambda run: str(run["run_count"]), field="run_count"),
        Column("tags", lambda run: as_text(run["tags"])),
        Column("cache key", lambda run: run["cache_key"] or "-", field="cache_key"),
        Column("inputs", lambda run: _inputs(run["task_inputs"])),
    ]


def _inputs(inputs: dict[str, list[Json]]) -> str:
    """Where each argument came from: another task run, a parameter of the flow, or a constant."""
    return (
        "\n".join(f"{name} from {', '.join(map(_source, sources))}" for name, sources in inputs.items() if sources)
        or "-"
    )


def _source(source: Json) -> str:
    named = source.get("id") or source.get("name") or source.get("type") or ""
    return f"{source.get('input_type', 'unknown')} {named}".strip()
