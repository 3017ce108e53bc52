"""How flow runs look in tables, and the names that the API's objects only refer to by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orionflow.cli.backend import Backend, Json
from orionflow.cli.looks import first_line, painted, run_state_label
from orionflow.cli.output import Column, as_text
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import Clock, duration, read_moment


def flow_names(api: Backend, runs: Sequence[Json]) -> dict[str, str]:
    """The names of the flows of these runs, in one request."""
    ids = sorted({run["flow_id"] for run in runs})
    found = api.pages("/flows/filter", {"flows": {"id": {"any_": ids}}}, None) if ids else ()
    return {flow["id"]: flow["name"] for flow in found}


def list_columns(flows: dict[str, str], clock: Clock, terminal: Terminal) -> list[Column]:
    # A program that reads our table needs the id; a person reads names.
    return [
        *([] if terminal.shows_live else [ID]),
        state_column(terminal),
        Column("RUN", lambda run: run["name"], field="name"),
        Column("FLOW", lambda run: flows.get(run["flow_id"], "?")),
        Column("STARTED", lambda run: clock.near(began(run)), field="start_time"),
        Column("DURATION", lambda run: duration(elapsed(run)), field="estimated_run_time"),
        Column("REASON", reason, field="state.message"),
        *([Column("ID", lambda run: run["id"], field="id", wide=True)] if terminal.shows_live else []),
        Column("TAGS", lambda run: as_text(run["tags"]), field="tags", wide=True),
        Column("TRIES", lambda run: str(run["run_count"]), field="run_count", wide=True),
        Column("VERSION", lambda run: run["flow_version"] or "-", field="flow_version", wide=True),
    ]


ID = Column("ID", lambda run: run["id"], field="id")


def state_column(terminal: Terminal) -> Column:
    return Column(
        "STATE",
        lambda run: run_state_label(run, terminal),
        field="state_name",
        paint=lambda text, run: painted(text, run["state_type"]),
    )


def began(run: Json) -> Any:
    return run["start_time"] or run["expected_start_time"]


def elapsed(run: Json) -> float | None:
    return run["estimated_run_time"] if run["start_time"] else None


def reason(run: Json) -> str:
    """What the state says, except that a run that completed needs no words."""
    state = run.get("state") or {}
    return "" if run["state_type"] == "COMPLETED" else first_line(state.get("message"))


def lasted(run: Json) -> float | None:
    start, end = read_moment(run["start_time"]), read_moment(run["end_time"])
    return (end - start).total_seconds() if start and end else None
