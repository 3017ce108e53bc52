"""`orion work-pool`: queues that share agents and a limit."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import click

from orionflow.calls.work import WORK_POOLS, look_at_due_runs_of_pool, queues_of
from orionflow.cli.backend import Json, without_none
from orionflow.cli.columns import ID, Col, Columns
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.resource import Resource
from orionflow.cli.session import Session, command
from orionflow.cli.work_queue import QUEUE, STATUS, limit_text, preview_command, status_text, throttles

work_pool = LazyGroup(
    "work-pool",
    __name__,
    help="Queues that share agents and a limit. A POOL is known by its name.",
    entries={
        "Look": {
            "ls": "List work pools.",
            "inspect": "Show a pool with its queues.",
            "preview": "Show the runs that would be started next.",
        },
        "Act": {
            "create": "Create a work pool.",
            "pause": "Start no runs of a pool.",
            "resume": "Start runs of a pool again.",
            "set-concurrency-limit": "Limit how many of its runs go at once.",
            "clear-concurrency-limit": "Lift the limit of a pool.",
            "delete": "Delete a work pool with its queues.",
        },
    },
    examples=(("orion work-pool ls", ""), ("orion work-pool create cluster --limit 20", "")),
)


def _columns(session: Session, rows: Sequence[Json]) -> Columns:
    def status(pool: Json) -> str:
        # The API says nothing about the pool of agents: it is served when one of its queues is.
        if pool["status"]:
            return status_text(pool)
        if pool["is_paused"]:
            return STATUS["PAUSED"]
        return STATUS["READY" if any(queue["status"] == "READY" for queue in _queues(session, pool)) else "NOT_READY"]

    return [
        Col("POOL", "name"),
        Col("STATUS", "status", row=status),
        Col("LIMIT", "concurrency_limit", row=lambda one: limit_text(one["concurrency_limit"])),
        Col("TYPE", "type"),
        Col("DESCRIPTION", "description"),
        ID,
    ]


def _queues(session: Session, pool: Json) -> list[Json]:
    return list(session.api.pages(queues_of(pool["name"]), {}, None))


def _show_queues(session: Session, pool: Json) -> None:
    session.terminal.out("\nqueues:")
    QUEUE.show(session, _queues(session, pool))


POOL = Resource("work pool", WORK_POOLS, _columns, metavar="POOL", times=False)
ls = POOL.ls(
    "List work pools, and whether a worker serves them.",
    "orion work-pool ls",
    "orion work-pool ls -o json",
    empty="No work pools.",
)
inspect = POOL.inspect(
    "Show a pool with its queues, the most urgent first.",
    "orion work-pool inspect cluster",
    below=_show_queues,
    times=True,
)
pause, resume, set_concurrency_limit, clear_concurrency_limit = throttles(POOL, "cluster", 20, "what runs goes on")
preview = preview_command(
    POOL,
    "Show the runs that workers would be given next, in that order. Limits and pauses count.",
    "orion work-pool preview cluster --within 2h",
    look=lambda pool, before, limit: look_at_due_runs_of_pool(pool["name"], before=before, limit=limit),
    run_of=itemgetter("flow_run"),
)
delete = POOL.delete(
    "Delete a pool with its queues and workers. By force also one in use: its runs wait until it is made again.",
    "orion work-pool delete cluster --dry-run",
    "orion work-pool delete cluster --yes",
    what="the work pool {} with its queues",
    forced=True,
)


@command("orion work-pool create small", "orion work-pool create gpus --limit 4 --paused")
@click.argument("name")
@click.option("--type", "kind", metavar="TYPE", default="process", show_default=True, help="What kind of workers.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many of its runs at once.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--paused", is_flag=True, help="Start none of its runs yet.")
def create(session: Session, name: str, kind: str, limit: int | None, description: str | None, paused: bool) -> None:
    """Create a work pool with a default queue."""
    fields = {"name": name, "type": kind, "concurrency_limit": limit, "description": description, "is_paused": paused}
    session.report(f"Created the work pool {name}.", session.api.ask(WORK_POOLS.create(without_none(fields))))
