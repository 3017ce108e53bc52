"""`orion flow`: the flows that have run, and how their last runs went."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.flow_run.columns import began, list_columns
from orionflow.cli.flow_run.newest import newest_runs
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.looks import painted, run_state_label
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column, as_text
from orionflow.cli.query import flow_filters
from orionflow.cli.times import Clock
from orionflow.spelling import near

flow = LazyGroup(
    "flow",
    context_settings=HELP_NAMES,
    help="Flows that have run. A flow is known by its name.",
    entries={
        "ls": Entry("orionflow.cli.flow:ls", "List flows with their last run."),
        "inspect": Entry("orionflow.cli.flow:inspect", "Show one flow and its newest runs.", ("show",)),
    },
    examples=(("orion flow ls", ""), ("orion flow inspect etl", "")),
)
# How many of the newest runs say which flows come first.
RECENT = 200
# A run that is planned is not the last one, and one that waits was not executed yet.
STARTED: Json = {"start_time": {"is_null_": False}}
SORTS = {"recent": "NAME_ASC", "name": "NAME_ASC", "newest": "CREATED_DESC", "updated": "UPDATED_DESC"}


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow ls", "all flows"),
        ("orion flow ls tag:nightly -o json", "the API's objects"),
        ("orion flow ls state:failed", "those with a failed run"),
    ),
)
@click.argument("query", nargs=-1)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=0), help="The most flows to show.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="recent", show_default=True, help="The order.")
@output_options
@time_options
def ls(query: tuple[str, ...], limit: int, sort: str, output: Output, clock: Clock) -> None:
    """List flows with their last run, those that ran last first. A QUERY takes name:, tag:, state: and id:."""
    api = backend()
    filters = flow_filters(query, clock, api)
    found = _recent(api, filters, clock, limit) if sort == "recent" else []
    known = {flow["id"] for flow in found}
    others = api.pages("/flows/filter", {**filters, "sort": SORTS[sort]}, None) if len(found) < limit else iter(())
    found += islice((flow for flow in others if flow["id"] not in known), limit - len(found))
    last = _last_runs(api, found, clock) if output.is_for_people else {}
    output.show_many(found, _list_columns(last, clock, output))
    if output.is_for_people and not found:
        output.terminal.note("No flows match.")


def _recent(api: Backend, filters: Json, clock: Clock, limit: int) -> list[Json]:
    """The flows of the newest runs that have begun, in their order."""
    newest = newest_runs(api, {"flow_runs": STARTED}, clock, RECENT)
    ids = list(dict.fromkeys(run["flow_id"] for run in newest))
    if not ids:
        return []
    narrowed = {**filters, "flows": {**filters.get("flows", {}), "id": {"any_": ids}}}
    if "id" in filters.get("flows", {}):
        return []
    found = {flow["id"]: flow for flow in api.pages("/flows/filter", narrowed, None)}
    return [found[id] for id in ids if id in found][:limit]


def _last_runs(api: Backend, flows: Sequence[Json], clock: Clock) -> dict[str, Json | None]:
    """The newest run of each flow shown; a list is short, and each question is answered from an index."""
    return {flow["id"]: next(iter(_newest_runs(api, flow, clock, 1, STARTED)), None) for flow in flows}


def _newest_runs(api: Backend, flow: Json, clock: Clock, limit: int, of_runs: Json | None = None) -> list[Json]:
    of_flow: Json = {"flows": {"id": {"any_": [flow["id"]]}}}
    return newest_runs(api, {**of_flow, **({"flow_runs": of_runs} if of_runs else {})}, clock, limit)


def _list_columns(last: dict[str, Json | None], clock: Clock, output: Output) -> list[Column]:
    def last_run(flow: Json) -> str:
        run = last.get(flow["id"])
        return f"{run_state_label(run, output.terminal)} {clock.ago(began(run))}" if run else "-"

    def paint(text: str, flow: Json) -> str:
        return painted(text, (last.get(flow["id"]) or {}).get("state_type"))

    return [
        Column("FLOW", lambda flow: flow["name"], field="name"),
        Column("LAST RUN", last_run, paint=paint),
        Column("TAGS", lambda flow: as_text(flow["tags"]), field="tags"),
        Column("ID", lambda flow: flow["id"], field="id", wide=output.terminal.shows_live),
        Column("CREATED", lambda flow: clock.absolute(flow["created"]), field="created", wide=True),
    ]


@click.command(
    cls=OrionCommand,
    examples=(("orion flow inspect etl", ""), ("orion flow inspect etl -o json", "the API's object")),
)
@click.argument("name", metavar="FLOW")
@output_options
@time_options
def inspect(name: str, output: Output, clock: Clock) -> None:
    """Show one flow and its newest runs."""
    api = backend()
    found = find_flow(api, name)
    if not output.is_for_people:
        output.show_one(found)
        return
    output.show_one(found, _fields(api, clock))
    if not output.columns:
        output.terminal.out("\nruns:")
        output.show_many(
            _newest_runs(api, found, clock, 5), list_columns({found["id"]: found["name"]}, clock, output.terminal)
        )


def _fields(api: Backend, clock: Clock) -> list[Column]:
    return [
        Column("id", lambda flow: flow["id"]),
        Column("name", lambda flow: flow["name"]),
        Column("tags", lambda flow: as_text(flow["tags"])),
        Column("created", lambda flow: clock.absolute(flow["created"]), field="created"),
        Column("all runs", lambda flow: str(api.post("/flow_runs/count", {"flows": {"id": {"any_": [flow["id"]]}}}))),
    ]


def find_flow(api: Backend, wanted: str) -> Json:
    """The flow with this name or id."""
    by_name = api.post("/flows/filter", {"flows": {"name": {"any_": [wanted]}}})
    if by_name:
        found: Json = by_name[0]
        return found
    by_id = [flow for flow in api.pages("/flows/filter", {}, 1000) if flow["id"] == wanted.lower()]
    if by_id:
        return by_id[0]
    names = [flow["name"] for flow in api.pages("/flows/filter", {}, 1000)]
    proposals = near(wanted, names)
    fix = f"did you mean {' or '.join(proposals)}?" if proposals else "orion flow ls"
    raise CommandFailed(ExitCode.NOT_FOUND, f"There is no flow {wanted!r}.", fix=fix)
