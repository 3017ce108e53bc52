"""How task runs look in tables, and the names of the flow runs that they belong to."""

from __future__ import annotations

from collections.abc import Sequence

from orionflow.cli.backend import Backend, Json
from orionflow.cli.flow_run.columns import ID, began, elapsed, reason, state_column
from orionflow.cli.output import Column, as_text
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock, duration


def flow_run_names(api: Backend, task_runs: Sequence[Json]) -> dict[str, str]:
    """The names of the flow runs of these task runs, in one request."""
    ids = sorted({run["flow_run_id"] for run in task_runs if run["flow_run_id"]})
    found = api.pages("/flow_runs/filter", {"flow_runs": {"id": {"any_": ids}}}, None) if ids else ()
    return {run["id"]: run["name"] for run in found}


def list_columns(flow_runs: dict[str, str], clock: Clock, terminal: Terminal) -> list[Column]:
    return [
        *([] if terminal.shows_live else [ID]),
        state_column(terminal),
        Column("TASK RUN", lambda run: run["name"], field="name"),
        Column("FLOW RUN", lambda run: flow_runs.get(run["flow_run_id"], "-")),
        Column("STARTED", lambda run: clock.near(began(run)), field="start_time"),
        Column("DURATION", lambda run: duration(elapsed(run)), field="estimated_run_time"),
        Column("REASON", reason, field="state.message"),
        *([Column("ID", lambda run: run["id"], field="id", wide=True)] if terminal.shows_live else []),
        Column("TAGS", lambda run: as_text(run["tags"]), field="tags", wide=True),
        Column("TRIES", lambda run: str(run["run_count"]), field="run_count", wide=True),
        Column("CACHE KEY", lambda run: run["cache_key"] or "-", field="cache_key", wide=True),
    ]
