"""`orion work-queue ls`, `inspect` and `preview`."""

from __future__ import annotations

import click

from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.flow_run.columns import flow_names, list_columns
from orionflow.cli.holding import show_runs
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.times import Clock, read_period
from orionflow.cli.work_queue.finding import find_queue, queue_name

# To look shall not count as being served.
ONLY_LOOKING = {"X-PREFECT-UI": "true"}
STATUS = {"READY": "ready", "NOT_READY": "no agent", "PAUSED": "paused"}


@click.command(
    cls=OrionCommand,
    examples=(("orion work-queue ls", ""), ("orion wq ls --pool default-agent-pool -o json", "the API's objects")),
)
@click.option("--pool", metavar="POOL", help="Only those of this pool.")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
@time_options
def ls(pool: str | None, limit: int, output: Output, clock: Clock) -> None:
    """List work queues, and whether an agent serves them."""
    from urllib.parse import quote

    path = f"/work_pools/{quote(pool, safe='')}/queues/filter" if pool else "/work_queues/filter"
    found = list(backend().pages(path, {}, limit))
    output.show_many(found, queue_columns(clock))
    if output.is_for_people and not found:
        output.terminal.note("No work queues; the first deployment makes one.")


def queue_columns(clock: Clock) -> list[Column]:
    return [
        Column("QUEUE", queue_name, field="name"),
        Column("STATUS", status_text, field="status"),
        Column("PRIORITY", lambda one: str(one["priority"]), field="priority"),
        Column("LIMIT", lambda one: limit_text(one["concurrency_limit"]), field="concurrency_limit"),
        Column("LAST ASKED", lambda one: clock.ago(one["last_polled"]), field="last_polled"),
        Column("ID", lambda one: one["id"], field="id", wide=True),
        Column("DESCRIPTION", lambda one: one["description"] or "-", field="description", wide=True),
    ]


def status_text(one: Json) -> str:
    """How pools and queues are told to be served."""
    return STATUS.get(one["status"] or "", "-")


def limit_text(limit: int | None) -> str:
    return "none" if limit is None else str(limit)


@click.command(
    cls=OrionCommand, examples=(("orion work-queue inspect default", ""), ("orion wq show default --json", ""))
)
@click.argument("name", metavar="QUEUE")
@output_options
@time_options
def inspect(name: str, output: Output, clock: Clock) -> None:
    """Show a queue: its limits, who asked it for runs, and whether its runs start in time."""
    api = backend()
    found = find_queue(api, name)
    output.show_one(found, _fields(api, clock))


def _fields(api: Backend, clock: Clock) -> list[Column]:
    return [
        Column("id", lambda one: one["id"]),
        Column("name", queue_name),
        Column("status", status_text),
        Column("health", lambda one: _health(api.get(f"/work_queues/{one['id']}/status"))),
        Column("priority", lambda one: str(one["priority"])),
        Column("limit", lambda one: limit_text(one["concurrency_limit"])),
        Column("last asked", lambda one: clock.ago(one["last_polled"])),
        Column("description", lambda one: one["description"] or "-"),
    ]


def _health(status: Json) -> str:
    if status["healthy"]:
        return "healthy"
    late = status["late_runs_count"]
    return f"{late} late run{'' if late == 1 else 's'}" if late else "no agent has asked for runs lately"


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion work-queue preview default", ""),
        ("orion wq preview default --within 2h", "what comes until then"),
    ),
)
@click.argument("name", metavar="QUEUE")
@click.option("--within", metavar="PERIOD", default="1h", show_default=True, help="Runs that are due by then.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="The most runs to show.")
@output_options
@time_options
def preview(name: str, within: str, limit: int, output: Output, clock: Clock) -> None:
    """Show the runs that agents would be given next, in that order. Limits and pauses count."""
    api = backend()
    before = (clock.now + read_period(within)).isoformat()
    path = f"/work_queues/{find_queue(api, name)['id']}/get_runs"
    runs = api.request("POST", path, {"scheduled_before": before, "limit": limit}, headers=ONLY_LOOKING)
    show_due(api, runs, f"No run of {name} is due within {within}.", output, clock)


def show_due(api: Backend, runs: list[Json], none: str, output: Output, clock: Clock) -> None:
    """The runs that would be given next, or the sentence that there are none."""
    flows = flow_names(api, runs) if output.format in ("table", "wide", "csv") else {}
    output.show_many(runs, list_columns(flows, clock, output.terminal))
    if output.is_for_people and not runs:
        output.terminal.note(none)


@click.command(cls=OrionCommand, examples=(("orion work-queue holders default", ""),))
@click.argument("name", metavar="QUEUE")
@output_options
@time_options
def holders(name: str, output: Output, clock: Clock) -> None:
    """The runs of a queue that are pending or running, and so hold its places."""
    api = backend()
    found = api.get(f"/work_queues/{find_queue(api, name)['id']}/holders")
    show_runs(found["holders"], f"Nobody holds a place in {name}.", output, clock)


@click.command(cls=OrionCommand, examples=(("orion work-queue waiters default", ""),))
@click.argument("name", metavar="QUEUE")
@output_options
@time_options
def waiters(name: str, output: Output, clock: Clock) -> None:
    """The runs of a queue that are due and wait for a place."""
    api = backend()
    found = api.get(f"/work_queues/{find_queue(api, name)['id']}/holders")
    show_runs(found["waiters"], f"Nobody waits for a place in {name}.", output, clock)
