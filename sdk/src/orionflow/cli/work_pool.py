"""`orion work-pool`: queues that share agents and a limit."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from orionflow.cli.backend import Backend, Json, backend, without_none
from orionflow.cli.command import HELP_NAMES, OrionCommand
from orionflow.cli.deleting import delete_at
from orionflow.cli.finding import named
from orionflow.cli.lazy import Entry, LazyGroup
from orionflow.cli.options import Output, destructive, forced, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.times import Clock, read_period
from orionflow.cli.work_queue.looking import ONLY_LOOKING, STATUS, limit_text, queue_columns, show_due, status_text

HERE = "orionflow.cli.work_pool"
LOOK, ACT = "Look", "Act"

work_pool = LazyGroup(
    "work-pool",
    context_settings=HELP_NAMES,
    help="Queues that share agents and a limit. A POOL is known by its name.",
    entries={
        "ls": Entry(f"{HERE}:ls", "List work pools.", section=LOOK),
        "inspect": Entry(f"{HERE}:inspect", "Show a pool with its queues.", ("show",), LOOK),
        "preview": Entry(f"{HERE}:preview", "Show the runs that would be started next.", section=LOOK),
        "create": Entry(f"{HERE}:create", "Create a work pool.", section=ACT),
        "pause": Entry(f"{HERE}:pause", "Start no runs of a pool.", section=ACT),
        "resume": Entry(f"{HERE}:resume", "Start runs of a pool again.", section=ACT),
        "set-concurrency-limit": Entry(f"{HERE}:set_limit", "Limit how many of its runs go at once.", section=ACT),
        "clear-concurrency-limit": Entry(f"{HERE}:clear_limit", "Lift the limit of a pool.", section=ACT),
        "delete": Entry(f"{HERE}:delete", "Delete a work pool with its queues.", ("rm",), ACT),
    },
    examples=(("orion work-pool ls", ""), ("orion work-pool create cluster --limit 20", "")),
)


@click.command(cls=OrionCommand, examples=(("orion work-pool ls", ""), ("orion work-pool ls -o json", "")))
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
def ls(limit: int, output: Output) -> None:
    """List work pools, and whether a worker serves them."""
    api = backend()
    found = list(api.pages("/work_pools/filter", {}, limit))
    output.show_many(found, _columns(api))
    if output.is_for_people and not found:
        output.terminal.note("No work pools.")


def _columns(api: Backend) -> list[Column]:
    def status(pool: Json) -> str:
        """Of the pool of agents the API says nothing: it is served when one of its queues is."""
        if pool["status"]:
            return status_text(pool)
        if pool["is_paused"]:
            return STATUS["PAUSED"]
        queues = api.pages(f"{_path(pool['name'])}/queues/filter", {}, None)
        return STATUS["READY" if any(queue["status"] == "READY" for queue in queues) else "NOT_READY"]

    return [
        Column("POOL", lambda one: one["name"], field="name"),
        Column("STATUS", status, field="status"),
        Column("LIMIT", lambda one: limit_text(one["concurrency_limit"]), field="concurrency_limit"),
        Column("TYPE", lambda one: one["type"], field="type"),
        Column("DESCRIPTION", lambda one: one["description"] or "-", field="description"),
        Column("ID", lambda one: one["id"], field="id", wide=True),
    ]


@click.command(cls=OrionCommand, examples=(("orion work-pool inspect cluster", ""),))
@click.argument("name", metavar="POOL")
@output_options
@time_options
def inspect(name: str, output: Output, clock: Clock) -> None:
    """Show a pool with its queues, the most urgent first."""
    api = backend()
    found = _find(api, name)
    output.show_one(found, [Column(one.title.lower(), one.text) for one in _columns(api)])
    if output.is_for_people and not output.columns:
        output.terminal.out("\nqueues:")
        output.show_many(list(api.pages(f"{_path(name)}/queues/filter", {}, None)), queue_columns(clock))


@click.command(cls=OrionCommand, examples=(("orion work-pool preview cluster --within 2h", ""),))
@click.argument("name", metavar="POOL")
@click.option("--within", metavar="PERIOD", default="1h", show_default=True, help="Runs that are due by then.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="The most runs to show.")
@output_options
@time_options
def preview(name: str, within: str, limit: int, output: Output, clock: Clock) -> None:
    """Show the runs that workers would be given next, in that order. Limits and pauses count."""
    api = backend()
    _find(api, name)
    body = {"scheduled_before": (clock.now + read_period(within)).isoformat(), "limit": limit}
    found = api.request("POST", f"{_path(name)}/get_scheduled_flow_runs", body, headers=ONLY_LOOKING)
    runs = [one["flow_run"] for one in found]
    show_due(api, runs, f"No run of {name} is due within {within}.", output, clock)


@click.command(
    cls=OrionCommand,
    examples=(("orion work-pool create small", ""), ("orion work-pool create gpus --limit 4 --paused", "")),
)
@click.argument("name")
@click.option("--type", "kind", metavar="TYPE", default="process", show_default=True, help="What kind of workers.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many of its runs at once.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--paused", is_flag=True, help="Start none of its runs yet.")
@output_options
def create(name: str, kind: str, limit: int | None, description: str | None, paused: bool, output: Output) -> None:
    """Create a work pool with a default queue."""
    said = {"name": name, "type": kind, "concurrency_limit": limit, "description": description, "is_paused": paused}
    created = backend().post("/work_pools/", without_none(said))
    if output.is_for_people:
        output.terminal.say(f"Created the work pool {name}.")
    else:
        output.show_one(created)


def _change(name: str, changes: dict[str, Any], done: str, output: Output) -> None:
    api = backend()
    _find(api, name)
    api.request("PATCH", _path(name), changes)
    if output.is_for_people:
        output.terminal.say(f"{name} {done}.")
    else:
        output.show_many([_find(api, name)], _columns(api))


@click.command(cls=OrionCommand, examples=(("orion work-pool pause cluster", "what runs goes on"),))
@click.argument("name", metavar="POOL")
@output_options
def pause(name: str, output: Output) -> None:
    """Start no runs of a pool. They wait; those that run go on."""
    _change(name, {"is_paused": True}, "is paused", output)


@click.command(cls=OrionCommand, examples=(("orion work-pool resume cluster", ""),))
@click.argument("name", metavar="POOL")
@output_options
def resume(name: str, output: Output) -> None:
    """Start runs of a pool again."""
    _change(name, {"is_paused": False}, "goes on", output)


@click.command(cls=OrionCommand, examples=(("orion work-pool set-concurrency-limit cluster 20", ""),))
@click.argument("name", metavar="POOL")
@click.argument("limit", type=click.IntRange(min=0))
@output_options
def set_limit(name: str, limit: int, output: Output) -> None:
    """Limit how many runs of a pool are pending or running at once. Lowering it stops none."""
    _change(name, {"concurrency_limit": limit}, f"runs {limit} at once at most", output)


@click.command(cls=OrionCommand, examples=(("orion work-pool clear-concurrency-limit cluster", ""),))
@click.argument("name", metavar="POOL")
@output_options
def clear_limit(name: str, output: Output) -> None:
    """Lift the limit of a pool."""
    _change(name, {"concurrency_limit": None}, "has no limit now", output)


@click.command(
    cls=OrionCommand,
    examples=(("orion work-pool delete cluster --dry-run", ""), ("orion work-pool delete cluster --yes", "")),
)
@click.argument("name", metavar="POOL")
@forced
@destructive
@output_options
def delete(name: str, force: bool, yes: bool, dry_run: bool, output: Output) -> None:
    """Delete a pool with its queues and workers. By force also one in use: its runs wait until it is made again."""
    api = backend()
    found = _find(api, name)
    path = _path(name) + ("?force=true" if force else "")
    gone = delete_at(api, path, f"the work pool {name} with its queues", yes=yes, dry_run=dry_run)
    if gone and not output.is_for_people:
        output.show_one(found)


def _find(api: Backend, name: str) -> Json:
    return named(api, _path(name), "work pool", name, "/work_pools/filter")


def _path(name: str) -> str:
    return f"/work_pools/{quote(name, safe='')}"
