"""`orion flow`: flows, and the outcome of their last runs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import click

from orionflow.calls.flow_runs import FLOW_RUNS
from orionflow.calls.flows import FLOWS
from orionflow.cli.backend import Json
from orionflow.cli.columns import Col, Columns, absolute
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.lookup import find_flow
from orionflow.cli.output import Column
from orionflow.cli.query import flow_filters
from orionflow.cli.resource import Resource
from orionflow.cli.run_tables import began, newest_runs, show_newest_runs
from orionflow.cli.session import Session, command, limit_option, sort_option, with_params
from orionflow.cli.style import painted, run_state_label

flow = LazyGroup(
    "flow",
    __name__,
    help="Flows that have run. A flow is known by its name.",
    entries={"ls": "List flows with their last run.", "inspect": "Show one flow and its newest runs."},
    examples=(("orion flow ls", ""), ("orion flow inspect etl", "")),
)
# The number of newest runs that determine which flows are listed first.
RECENT = 200
# A planned run is not the last one, and a waiting run has not been executed yet.
STARTED: Json = {"start_time": {"is_null_": False}}
SORTS = {"recent": "NAME_ASC", "name": "NAME_ASC", "newest": "CREATED_DESC", "updated": "UPDATED_DESC"}


@command(
    ("orion flow ls", "all flows"),
    ("orion flow ls tag:nightly -o json", "the API's objects"),
    ("orion flow ls state:failed", "those with a failed run"),
    times=True,
)
@click.argument("query", nargs=-1)
@with_params(limit_option(50, help="Show at most this many flows."), sort_option(list(SORTS)))
def ls(session: Session, query: Sequence[str], limit: int, sort: str) -> None:
    """List flows with their last run, those that ran last first. A QUERY takes name:, tag:, state: and id:."""
    api = session.api
    filters = flow_filters(query, session.clock, api)
    found = _recent(session, filters, limit) if sort == "recent" else []
    known = {flow["id"] for flow in found}
    others = api.pages(FLOWS, {**filters, "sort": SORTS[sort]}, None) if len(found) < limit else iter(())
    found += islice((flow for flow in others if flow["id"] not in known), limit - len(found))
    FLOW.show(session, found, "No flows match.")


def _recent(session: Session, filters: Json, limit: int) -> list[Json]:
    """Fetch the flows of the newest runs that have started, in their order."""
    newest = newest_runs(session, {"flow_runs": STARTED}, RECENT)
    ids = list(dict.fromkeys(run["flow_id"] for run in newest))
    if not ids or "id" in filters.get("flows", {}):
        return []
    narrowed = {**filters, "flows": {**filters.get("flows", {}), "id": {"any_": ids}}}
    found = {flow["id"]: flow for flow in session.api.pages(FLOWS, narrowed, None)}
    return [found[id] for id in ids if id in found][:limit]


def _of_flow(flow: Json) -> Json:
    return {"flows": {"id": {"any_": [flow["id"]]}}}


def _columns(session: Session, flows: Sequence[Json]) -> Columns:
    # The list is short, and each of these requests uses an index.
    last = {
        flow["id"]: next(iter(newest_runs(session, {**_of_flow(flow), "flow_runs": STARTED}, 1)), None)
        for flow in (flows if session.for_people else ())
    }

    def last_run(flow: Json) -> str:
        run = last.get(flow["id"])
        return f"{run_state_label(run, session.terminal)} {session.clock.ago(began(run))}" if run else "-"

    def paint(text: str, flow: Json) -> str:
        return painted(text, (last.get(flow["id"]) or {}).get("state_type"))

    return [
        Col("FLOW", "name"),
        Column("LAST RUN", last_run, paint=paint),
        Col("TAGS", "tags"),
        Column("ID", lambda flow: flow["id"], field="id", wide=session.terminal.shows_live),
        Col("CREATED", "created", absolute, wide=True),
    ]


def _fields(session: Session, flow: Json) -> Columns:
    def runs(flow: Json) -> str:
        return str(session.api.ask(FLOW_RUNS.count(_of_flow(flow))))

    return [
        Col("id", "id"),
        Col("name", "name"),
        Col("tags", "tags"),
        Col("created", "created", absolute),
        Col("all runs", row=runs),
    ]


FLOW = Resource("flow", FLOWS, _columns, metavar="FLOW", find=lambda session, wanted: find_flow(session.api, wanted))
inspect = FLOW.inspect(
    "Show one flow and its newest runs.",
    "orion flow inspect etl",
    ("orion flow inspect etl -o json", "the API's object"),
    fields=_fields,
    below=lambda session, flow: show_newest_runs(session, _of_flow(flow)),
    plain=True,
)
