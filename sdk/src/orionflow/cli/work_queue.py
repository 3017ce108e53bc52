"""`orion work-queue`: queues in which runs wait for an agent.

A queue is identified by its name in the default pool, by `pool/name`, or by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from orionflow.calls import Call
from orionflow.calls.work import (
    WORK_QUEUES,
    look_at_due_runs,
    queues_of,
    read_work_queue_by_name,
    read_work_queue_status,
)
from orionflow.cli.backend import Json, without_none
from orionflow.cli.columns import ID, Col, Columns, ago
from orionflow.cli.command import OrionCommand
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.lookup import as_uuid, found_by, listed, missing
from orionflow.cli.output import Column
from orionflow.cli.resource import Options, Resource
from orionflow.cli.run_tables import flow_run_columns
from orionflow.cli.session import Example, Session, command, limit_option, make_command

work_queue = LazyGroup(
    "work-queue",
    __name__,
    help="The lines in which runs wait for an agent. A QUEUE is a name, pool/name for one of another pool, or an id.",
    entries={
        "Look": {
            "ls": "List work queues.",
            "inspect": "Show a queue and whether it is healthy.",
            "preview": "Show the runs that would be started next.",
            "holders": "Show the runs that hold slots of a queue.",
            "waiters": "Show due runs that wait for a slot of a queue.",
        },
        "Act": {
            "create": "Create a work queue.",
            "pause": "Pause a queue: start no further runs.",
            "resume": "Resume a queue.",
            "set-concurrency-limit": "Limit how many runs are active at once.",
            "clear-concurrency-limit": "Remove the limit of a queue.",
            "priority": "Set the priority of a queue.",
            "delete": "Delete a work queue.",
        },
    },
    examples=(
        ("orion work-queue ls", ""),
        ("orion work-queue create big --limit 2", "two runs at once"),
        ("orion wq preview big", "what comes next?"),
    ),
)
DEFAULT_POOL = "default-agent-pool"
STATUS = {"READY": "ready", "NOT_READY": "no agent", "PAUSED": "paused"}


def find_queue(session: Session, wanted: str) -> Json:
    """Find the one queue that is meant; otherwise exit 5, with similar names."""
    pool, slash, name = wanted.rpartition("/")
    if slash:
        call = queues_of(pool).read(name)
    elif whole := as_uuid(wanted):
        call = WORK_QUEUES.read(whole)
    else:
        call = read_work_queue_by_name(wanted)
    api = session.api
    return found_by(api, call, lambda: missing("work queue", wanted, map(queue_name, listed(api, WORK_QUEUES))))


def queue_name(queue: Json) -> str:
    """Return the name by which the queue can be found."""
    pool = queue.get("work_pool_name")
    return str(queue["name"]) if pool in (None, DEFAULT_POOL) else f"{pool}/{queue['name']}"


def serving_command(pool: str | None, queue: str) -> str:
    """Return the command that starts an agent for it."""
    return f"orion agent start {'' if pool in (None, DEFAULT_POOL) else f'--pool {pool} '}-q {queue}"


def split_queues(pool: str | None, wanted: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """Split the queues of an agent, which may be written `pool/name`, into its only pool and their names."""
    parts = [one.rpartition("/") for one in wanted]
    pools = dict.fromkeys([*([pool] if pool else []), *(before for before, slash, _ in parts if slash)])
    if len(pools) > 1 or (pools and not pool and not all(slash for _, slash, _ in parts)):
        raise click.UsageError("An agent serves queues of one work pool; start one agent for each pool.")
    return next(iter(pools), None), tuple(name for _, _, name in parts)


def _fields(session: Session, queue: Json) -> Columns:
    return [
        Col("id", "id"),
        Col("name", row=queue_name),
        Col("status", row=status_text),
        Column("health", lambda one: _health(session.api.ask(read_work_queue_status(one["id"])))),
        Col("priority", "priority"),
        Col("limit", row=lambda one: limit_text(one["concurrency_limit"])),
        Col("last asked", "last_polled", ago),
        Col("description", "description"),
    ]


def status_text(one: Json) -> str:
    """Return whether a pool or a queue is served, as text."""
    return STATUS.get(one["status"] or "", "-")


def limit_text(limit: int | None) -> str:
    return "none" if limit is None else str(limit)


def _health(status: Json) -> str:
    if status["healthy"]:
        return "healthy"
    late = status["late_runs_count"]
    return f"{late} late run{'' if late == 1 else 's'}" if late else "no agent has asked for runs lately"


def _listed(session: Session, options: Options, limit: int) -> Iterable[Json]:
    pool = options["pool"]
    return session.api.pages(queues_of(pool) if pool else WORK_QUEUES, {}, limit)


_COLUMNS: Columns = (
    Col("QUEUE", "name", row=queue_name), Col("STATUS", "status", row=status_text), Col("PRIORITY", "priority"),
    Col("LIMIT", "concurrency_limit", row=lambda one: limit_text(one["concurrency_limit"])),
    Col("LAST ASKED", "last_polled", ago), ID, Col("DESCRIPTION", "description", wide=True),
)  # fmt: skip
QUEUE = Resource("work queue", WORK_QUEUES, _COLUMNS, metavar="QUEUE", find=find_queue, title=queue_name)


def throttles(resource: Resource, sample: str, limit: int, note: str) -> Iterator[OrionCommand]:
    """Yield the commands that pause and resume a queue or a pool, and those that set and remove its limit."""
    base, kind = f"orion {resource.kind.replace(' ', '-')}", resource.kind.partition(" ")[2]
    yield resource.change(
        f"Start no runs of a {kind}. They wait; those that run are left alone.", (f"{base} pause {sample}", note),
        changes={"is_paused": True}, done="is paused",
    )  # fmt: skip
    yield resource.change(
        f"Start runs of a {kind} again.", f"{base} resume {sample}", changes={"is_paused": False}, done="continues"
    )
    yield resource.change(
        f"Limit how many runs of a {kind} are pending or running at once. Lowering it stops no run.",
        f"{base} set-concurrency-limit {sample} {limit}",
        changes=lambda options: {"concurrency_limit": options["limit"]}, done="runs {limit} at once at most",
        params=[click.Argument(["limit"], type=click.IntRange(min=0))],
    )  # fmt: skip
    yield resource.change(
        f"Lift the limit of a {kind}.", f"{base} clear-concurrency-limit {sample}",
        changes={"concurrency_limit": None}, done="has no limit now",
    )  # fmt: skip


def preview_command(
    resource: Resource, help: str, *examples: Example,
    look: Callable[[Json, datetime, int], Call[Any]], run_of: Callable[[Json], Json] = lambda one: one,
) -> OrionCommand:  # fmt: skip
    """Return the command that shows the runs that a queue or a pool would provide next."""

    def preview(session: Session, name: str, within: str, limit: int) -> None:
        found, before = resource.found(session, name), session.clock.after(within)
        runs = [run_of(one) for one in session.api.ask(look(found, before, limit))]
        empty = f"No run of {name} is due within {within}."
        session.show_list(runs, flow_run_columns(session, runs), empty=empty)

    until = click.Option(
        ["--within"], metavar="PERIOD", default="1h", show_default=True, help="Runs that are due within this time."
    )
    most = limit_option(20, help="Show at most this many runs.")
    params = [click.Argument(["name"], metavar=resource.metavar), until, most]
    return make_command(preview, params, examples, help=help, times=True)


ls = QUEUE.ls(
    "List work queues, and whether an agent serves them.",
    "orion work-queue ls",
    ("orion wq ls --pool default-agent-pool -o json", "the API's objects"),
    empty="No work queues; the first deployment makes one.",
    params=[click.Option(["--pool"], metavar="POOL", help="Only those of this pool.")],
    rows=_listed,
)
inspect = QUEUE.inspect(
    "Show a queue: its limits, who asked it for runs, and whether its runs start in time.",
    "orion work-queue inspect default",
    "orion wq show default --json",
    fields=_fields,
)
pause, resume, set_concurrency_limit, clear_concurrency_limit = throttles(
    QUEUE, "big", 3, "runs wait; what runs is left alone"
)
priority = QUEUE.change(
    "Serve a queue before those of its pool with a higher number; 1 comes first.",
    ("orion work-queue priority big 1", "served before the others"),
    changes=lambda options: {"priority": options["number"]},
    done="has priority {number}",
    params=[click.Argument(["number"], metavar="PRIORITY", type=click.IntRange(min=1))],
)
delete = QUEUE.delete(
    "Delete a work queue. With --force, also one in use: its runs wait until it is created again.",
    "orion work-queue delete big --dry-run",
    ("orion wq delete big --yes", "its runs wait until it is created again"),
    what="the work queue {}",
    forced=True,
)


@command(
    "orion work-queue create small", "orion work-queue create slow --limit 2 --priority 5 --description 'reports'",
    times=True,
)  # fmt: skip
@click.argument("name")
@click.option("--pool", metavar="POOL", help="In this pool; otherwise in the default one.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Run at most this many of its runs at once.")
@click.option("--priority", type=click.IntRange(min=1), metavar="N", help="1 is served first.")
@click.option("--description", metavar="TEXT", help="What it is for.")
def create(
    session: Session, name: str, pool: str | None, limit: int | None, priority: int | None, description: str | None
) -> None:
    """Create a work queue."""
    fields = {"name": name, "concurrency_limit": limit, "priority": priority, "description": description}
    created = session.api.ask((queues_of(pool) if pool else WORK_QUEUES).create(without_none(fields)))
    serve = serving_command(created.get("work_pool_name"), created["name"])
    session.report(f"Created the work queue {queue_name(created)}; serve it with {serve}", created)


preview = preview_command(
    QUEUE,
    "Show the runs that agents would get next, in order, considering limits and pauses.",
    "orion work-queue preview default",
    ("orion wq preview default --within 2h", "what comes until then"),
    look=lambda queue, before, limit: look_at_due_runs(queue["id"], before=before, limit=limit),
)
holders = QUEUE.held(
    "Show the runs of a queue that are pending or running, and so hold its slots.",
    "orion work-queue holders default",
    side="holders",
    nobody="Nobody holds a slot of {}.",
)
waiters = QUEUE.held(
    "Show the runs of a queue that are due and wait for a slot.",
    "orion work-queue waiters default",
    side="waiters",
    nobody="Nobody waits for a slot of {}.",
)
