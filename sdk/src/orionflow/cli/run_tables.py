"""Tables of runs, with names for the ids in the API's objects, and the order of lists of runs.

The order: runs that are due, newest first, and then the planned ones, the next one first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from orionflow.calls import Collection
from orionflow.calls.flow_runs import FLOW_RUNS
from orionflow.calls.flows import FLOWS
from orionflow.calls.task_runs import TASK_RUNS
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import Col, Columns, absolute
from orionflow.cli.lookup import NEWEST, find_flow_run
from orionflow.cli.output import Column, as_text
from orionflow.cli.session import Session
from orionflow.cli.style import first_line, painted, run_state_label, state_label
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import duration, read_moment
from orionflow.contract.states import TERMINAL, in_order

ID = Column("ID", lambda run: run["id"], field="id")
Position = tuple[int, float, int]
# The server's clock may be slightly ahead of ours.
AHEAD = timedelta(seconds=30)
# A time that was converted to a float gets a tolerance; additional rows are removed again.
ROUNDING = timedelta(milliseconds=1)


def names_by_id(api: Backend, things: Collection[Any], ids: Sequence[str | None]) -> dict[str, str]:
    """Fetch the names of flows or flow runs in one request."""
    wanted = sorted({id for id in ids if id})
    found = api.pages(things, {things.name: {"id": {"any_": wanted}}}, None) if wanted else ()
    return {one["id"]: one["name"] for one in found}


def flow_names(api: Backend, runs: Sequence[Json]) -> dict[str, str]:
    return names_by_id(api, FLOWS, [run["flow_id"] for run in runs])


def flow_run_columns(session: Session, runs: Sequence[Json]) -> list[Column]:
    """Return the columns of flow runs; the names of their flows are only requested if they are shown."""
    flows = flow_names(session.api, runs) if session.shows_columns else {}
    own = Column("RUN", lambda run: run["name"], field="name")
    flow = Column("FLOW", lambda run: flows.get(run["flow_id"], "?"))
    last = Column("VERSION", lambda run: run["flow_version"] or "-", field="flow_version", wide=True)
    return _run_columns(session, own, flow, last)


def task_run_columns(session: Session, runs: Sequence[Json]) -> list[Column]:
    """Return the columns of task runs; the names of their flow runs are only requested if they are shown."""
    owners = names_by_id(session.api, FLOW_RUNS, [run["flow_run_id"] for run in runs]) if session.shows_columns else {}
    own = Column("TASK RUN", lambda run: run["name"], field="name")
    owner = Column("FLOW RUN", lambda run: owners.get(run["flow_run_id"], "-"))
    last = Column("CACHE KEY", lambda run: run["cache_key"] or "-", field="cache_key", wide=True)
    return _run_columns(session, own, owner, last)


def _run_columns(session: Session, own: Column, owner: Column, last: Column) -> list[Column]:
    on_screen = session.terminal.shows_live
    # Programs that read our table need the id; users read names.
    return [
        *([] if on_screen else [ID]),
        state_column(session.terminal),
        own,
        owner,
        Column("STARTED", lambda run: session.clock.near(began(run)), field="start_time"),
        Column("DURATION", lambda run: duration(elapsed(run)), field="estimated_run_time"),
        Column("REASON", reason, field="state.message"),
        *([Column("ID", ID.text, field="id", wide=True)] if on_screen else []),
        Column("TAGS", lambda run: as_text(run["tags"]), field="tags", wide=True),
        Column("TRIES", lambda run: str(run["run_count"]), field="run_count", wide=True),
        last,
    ]


def run_fields(session: Session, *own: Column, took: Callable[[Json], str]) -> Columns:
    """Return the fields that `inspect` shows for both kinds of runs; their own fields follow the name."""
    return [
        Col("id", "id"),
        Col("name", "name"),
        *own,
        state_column(session.terminal, "state"),
        Col("message", "state.message"),
        Col("started", "start_time", row=lambda run: session.clock.absolute(began(run))),
        Col("ended", "end_time", absolute),
        Col("took", row=took),
        Col("tries", "run_count"),
    ]


def show_newest_runs(session: Session, filters: Json) -> None:
    """Show the five newest runs of an object, below its fields."""
    session.terminal.out("\nruns:")
    runs = newest_runs(session, filters, 5)
    session.show_list(runs, flow_run_columns(session, runs))


def state_column(terminal: Terminal, title: str = "STATE") -> Column:
    return Column(
        title,
        lambda run: run_state_label(run, terminal),
        field="state_name",
        paint=lambda text, run: painted(text, run["state_type"]),
    )


def began(run: Json) -> Any:
    return run["start_time"] or run["expected_start_time"]


def elapsed(run: Json) -> float | None:
    return run["estimated_run_time"] if run["start_time"] else None


def lasted(run: Json) -> float | None:
    start, end = read_moment(run["start_time"]), read_moment(run["end_time"])
    return (end - start).total_seconds() if start and end else None


def reason(run: Json) -> str:
    """Return the first line of the state's message; empty for a completed run."""
    state = run.get("state") or {}
    return "" if run["state_type"] == "COMPLETED" else first_line(state.get("message"))


def task_progress(api: Backend, flow_run_id: str) -> tuple[int, int]:
    """Return the number of ended task runs of a flow run, and of all that are known."""
    own: Json = {"flow_runs": {"id": {"any_": [flow_run_id]}}}
    ended = {"task_runs": {"state": {"type": {"any_": in_order(TERMINAL)}}}}
    return api.ask(TASK_RUNS.count({**own, **ended})), api.ask(TASK_RUNS.count(own))


def show_holders(session: Session, runs: Sequence[Json], nobody: str) -> None:
    """Show the runs that hold slots of a limit or wait for one, or the sentence that there are none."""

    def state(run: Json) -> str:
        return state_label(run["state_type"], str(run["state_type"] or "").title(), session.terminal)

    columns = [
        Column("STATE", state, field="state_type", paint=lambda text, run: painted(text, run["state_type"])),
        Column("RUN", lambda run: run["name"], field="name"),
        Column("KIND", lambda run: run["kind"].replace("-", " "), field="kind"),
        Column("SLOTS", lambda run: str(run["slots"]), field="slots"),
        Column("SINCE", lambda run: session.clock.near(run["since"]), field="since"),
        Column("UNTIL", lambda run: session.clock.near(run["until"]), field="until"),
        ID,
    ]
    session.show_list(runs, columns, empty=nobody)


def newest_runs(session: Session, filters: Json, limit: int, after: str | None = None) -> list[Json]:
    """Fetch runs in the order of lists; with `after`, those behind that run, even if newer runs were added since."""
    api, now = session.api, session.clock.now + AHEAD
    last = _position(find_flow_run(api, after), now) if after else None
    # With `after`, the number of runs to read is not known beforehand.
    most = limit if last is None else None
    lines = (_due(api, filters, now, last, most), _planned(api, filters, now, last, most))
    rows = (run for line in lines for run in line if last is None or _position(run, now) > last)
    return list(islice(rows, limit))


def _position(run: Json, now: datetime) -> Position:
    """Return the position of a run in the list, which grows from the first line to the last."""
    expected, number = _expected(run), UUID(run["id"]).int
    return (1, expected.timestamp(), number) if expected > now else (0, -expected.timestamp(), -number)


def _due(api: Backend, filters: Json, now: datetime, last: Position | None, most: int | None) -> Iterator[Json]:
    if last is not None and last[0]:
        return iter(())
    until = now if last is None else datetime.fromtimestamp(-last[1], UTC) + ROUNDING
    narrowed = _between(filters, None, min(until, now))
    return (run for run in run_pages(api, narrowed, NEWEST, most) if _expected(run) <= now)


def _planned(api: Backend, filters: Json, now: datetime, last: Position | None, most: int | None) -> Iterator[Json]:
    since = datetime.fromtimestamp(last[1], UTC) - ROUNDING if last is not None and last[0] else now
    narrowed = _between(filters, max(since, now), None)
    return (run for run in run_pages(api, narrowed, "EXPECTED_START_TIME_ASC", most) if _expected(run) > now)


def run_pages(api: Backend, filters: Json, sort: str, most: int | None) -> Iterator[Json]:
    return api.pages(FLOW_RUNS, {**filters, "sort": sort}, most)


def _expected(run: Json) -> datetime:
    moment = read_moment(run["expected_start_time"])
    assert moment is not None
    return moment


def _between(filters: Json, after: datetime | None, before: datetime | None) -> Json:
    """Return the filters with these bounds, unless theirs are narrower."""
    runs = filters.get("flow_runs", {})
    times = dict(runs.get("expected_start_time", {}))
    if before is not None:
        times["before_"] = min(before, read_moment(times.get("before_")) or before).isoformat()
    if after is not None:
        times["after_"] = max(after, read_moment(times.get("after_")) or after).isoformat()
    return {**filters, "flow_runs": {**runs, "expected_start_time": times}}
