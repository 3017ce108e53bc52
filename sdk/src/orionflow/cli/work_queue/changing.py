"""`orion work-queue create`, `pause`, `resume`, `priority`, `delete` and its limit."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from orionflow.cli.backend import backend, without_none
from orionflow.cli.command import OrionCommand
from orionflow.cli.deleting import delete_at
from orionflow.cli.options import Output, destructive, forced, output_options, time_options
from orionflow.cli.times import Clock
from orionflow.cli.work_queue.finding import find_queue, queue_name, serving_command
from orionflow.cli.work_queue.looking import queue_columns


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion work-queue create small", ""),
        ("orion work-queue create slow --limit 2 --priority 5 --description 'reports'", ""),
    ),
)
@click.argument("name")
@click.option("--pool", metavar="POOL", help="In this pool; otherwise in the default one.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many of its runs at once.")
@click.option("--priority", type=click.IntRange(min=1), metavar="N", help="1 is served first.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@output_options
@time_options
def create(
    name: str,
    pool: str | None,
    limit: int | None,
    priority: int | None,
    description: str | None,
    output: Output,
    clock: Clock,
) -> None:
    """Create a work queue."""
    said = {"name": name, "concurrency_limit": limit, "priority": priority, "description": description}
    path = f"/work_pools/{quote(pool, safe='')}/queues" if pool else "/work_queues/"
    created = backend().post(path, without_none(said))
    if output.is_for_people:
        serve = serving_command(created.get("work_pool_name"), created["name"])
        output.terminal.say(f"Created the work queue {queue_name(created)}; serve it with {serve}")
    else:
        output.show_one(created)


def _change(name: str, changes: dict[str, Any], done: str, output: Output, clock: Clock) -> None:
    api = backend()
    found = find_queue(api, name)
    api.request("PATCH", f"/work_queues/{found['id']}", changes)
    if output.is_for_people:
        output.terminal.say(f"{queue_name(found)} {done}.")
    else:
        output.show_many([api.get(f"/work_queues/{found['id']}")], queue_columns(clock))


@click.command(cls=OrionCommand, examples=(("orion work-queue pause big", "runs wait; what runs goes on"),))
@click.argument("name", metavar="QUEUE")
@output_options
@time_options
def pause(name: str, output: Output, clock: Clock) -> None:
    """Start no runs of a queue. They wait; those that run go on."""
    _change(name, {"is_paused": True}, "is paused", output, clock)


@click.command(cls=OrionCommand, examples=(("orion work-queue resume big", ""),))
@click.argument("name", metavar="QUEUE")
@output_options
@time_options
def resume(name: str, output: Output, clock: Clock) -> None:
    """Start runs of a queue again."""
    _change(name, {"is_paused": False}, "goes on", output, clock)


@click.command(cls=OrionCommand, examples=(("orion work-queue set-concurrency-limit big 3", ""),))
@click.argument("name", metavar="QUEUE")
@click.argument("limit", type=click.IntRange(min=0))
@output_options
@time_options
def set_limit(name: str, limit: int, output: Output, clock: Clock) -> None:
    """Limit how many runs of a queue are pending or running at once. Lowering it stops none."""
    _change(name, {"concurrency_limit": limit}, f"runs {limit} at once at most", output, clock)


@click.command(cls=OrionCommand, examples=(("orion work-queue clear-concurrency-limit big", ""),))
@click.argument("name", metavar="QUEUE")
@output_options
@time_options
def clear_limit(name: str, output: Output, clock: Clock) -> None:
    """Lift the limit of a queue."""
    _change(name, {"concurrency_limit": None}, "has no limit now", output, clock)


@click.command(cls=OrionCommand, examples=(("orion work-queue priority big 1", "served before the others"),))
@click.argument("name", metavar="QUEUE")
@click.argument("number", metavar="PRIORITY", type=click.IntRange(min=1))
@output_options
@time_options
def priority(name: str, number: int, output: Output, clock: Clock) -> None:
    """Serve a queue before those of its pool with a higher number; 1 comes first."""
    _change(name, {"priority": number}, f"has priority {number}", output, clock)


@click.command(
    cls=OrionCommand,
    examples=(("orion work-queue delete big --dry-run", ""), ("orion wq delete big --yes", "its runs wait for nobody")),
)
@click.argument("name", metavar="QUEUE")
@forced
@destructive
@output_options
def delete(name: str, force: bool, yes: bool, dry_run: bool, output: Output) -> None:
    """Delete a work queue. By force also one in use: its runs wait until it is made again."""
    api = backend()
    found = find_queue(api, name)
    what = f"the work queue {queue_name(found)}"
    path = f"/work_queues/{found['id']}" + ("?force=true" if force else "")
    gone = delete_at(api, path, what, yes=yes, dry_run=dry_run)
    if gone and not output.is_for_people:
        output.show_one(found)
