"""`orion flow-run inspect`."""

from __future__ import annotations

from typing import Any

import click

from orionflow.cli.addressing import find_flow_run
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.flow_run.columns import began, elapsed, flow_names, lasted, state_column
from orionflow.cli.histories import show_states
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column, as_text
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock, duration
from orionflow.contract.states import TERMINAL, in_order


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run inspect @last", "the newest run"),
        ("orion fr inspect brave-otter -o json", "the API's object"),
        ("orion fr inspect @last --columns parameters,tags", "only these fields"),
    ),
)
@click.argument("run", metavar="RUN")
@output_options
@time_options
def inspect(run: str, output: Output, clock: Clock) -> None:
    """Show one run: what it was called with, how long it took, and its states."""
    api = backend()
    found = find_flow_run(api, run)
    if not output.is_for_people:
        output.show_one(found)
        return
    output.show_one(found, fields_of(api, found, clock, output.terminal))
    if not output.columns:
        show_states(api, f"/flow_runs/{found['id']}", clock, output.terminal)


def fields_of(api: Backend, run: Json, clock: Clock, terminal: Terminal) -> list[Column]:
    flow = flow_names(api, [run]).get(run["flow_id"], "?")
    return [
        Column("id", lambda run: run["id"]),
        Column("name", lambda run: run["name"]),
        Column("flow", lambda run: f"{flow} ({run['flow_version']})" if run["flow_version"] else flow),
        _retitled(state_column(terminal), "state"),
        Column("message", lambda run: (run.get("state") or {}).get("message") or "-"),
        Column("started", lambda run: clock.absolute(began(run)), field="start_time"),
        Column("ended", lambda run: clock.absolute(run["end_time"]), field="end_time"),
        Column("took", lambda run: _took(run)),
        Column("tries", lambda run: str(run["run_count"]), field="run_count"),
        Column("tasks", lambda run: _tasks(api, run)),
        Column("tags", lambda run: as_text(run["tags"])),
        Column("parameters", lambda run: _parameters(run["parameters"])),
    ]


def _retitled(column: Column, title: str) -> Column:
    return Column(title, column.text, column.field, column.wide, column.paint)


def _took(run: Json) -> str:
    running, whole = elapsed(run), lasted(run)
    # Waiting for a retry or in a pause is part of the whole, but not of the running time.
    apart = whole is not None and running is not None and whole - running > 1
    return f"{duration(running)} running, {duration(whole)} from start to end" if apart else duration(running)


def _tasks(api: Backend, run: Json) -> str:
    finished, known = task_progress(api, run["id"])
    return f"{finished}/{known} finished"


def task_progress(api: Backend, flow_run_id: str) -> tuple[int, int]:
    """How many task runs of a flow run have ended, and how many are known."""
    own: Json = {"flow_runs": {"id": {"any_": [flow_run_id]}}}
    ended = {"task_runs": {"state": {"type": {"any_": in_order(TERMINAL)}}}}
    return api.post("/task_runs/count", {**own, **ended}), api.post("/task_runs/count", own)


def _parameters(parameters: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {as_text(value)}" for name, value in parameters.items()) or "-"
