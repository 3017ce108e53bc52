"""`orion work-pool`: queues that share agents and a limit."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import click

from orionflow.calls.work import WORK_POOLS, WORKER_TYPES, look_at_due_runs_of_pool, queues_of
from orionflow.cli.backend import Json, without_none
from orionflow.cli.columns import ID, Col, Columns
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.resource import Resource
from orionflow.cli.session import Session, command
from orionflow.cli.work_queue import QUEUE, STATUS, limit_text, preview_command, status_text, throttles
from orionflow.contract.kinds import FAIR_SHARE_PATTERN

TEMPLATE_HELP = "A file with the job template, as JSON."

work_pool = LazyGroup(
    "work-pool",
    __name__,
    help="Queues that share agents and a limit. A POOL is known by its name.",
    entries={
        "Look": {
            "ls": "List work pools.",
            "inspect": "Show a pool with its queues.",
            "preview": "Show the runs that would be started next.",
            "get-default-base-job-template": "Show the default job template of a type of pools.",
        },
        "Act": {
            "create": "Create a work pool.",
            "update": "Change the job template or the description of a pool.",
            "pause": "Pause a pool: start no further runs.",
            "resume": "Resume a pool.",
            "set-concurrency-limit": "Limit how many runs are active at once.",
            "clear-concurrency-limit": "Remove the limit of a pool.",
            "set-fair-share": "Let runs of one priority take turns.",
            "clear-fair-share": "Turn the fair share off: oldest run first.",
            "delete": "Delete a work pool with its queues.",
        },
    },
    examples=(("orion work-pool ls", ""), ("orion work-pool create cluster --limit 20", "")),
)


def _columns(session: Session, rows: Sequence[Json]) -> Columns:
    def status(pool: Json) -> str:
        # The API has no status for a pool of agents: it is served if one of its queues is.
        if pool["status"]:
            return status_text(pool)
        if pool["is_paused"]:
            return STATUS["PAUSED"]
        return STATUS["READY" if any(queue["status"] == "READY" for queue in _queues(session, pool)) else "NOT_READY"]

    return [
        Col("POOL", "name"),
        Col("STATUS", "status", row=status),
        Col("LIMIT", "concurrency_limit", row=lambda one: limit_text(one["concurrency_limit"])),
        Col("FAIR SHARE", "fair_share", row=lambda one: one.get("fair_share") or "-"),
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
pause, resume, set_concurrency_limit, clear_concurrency_limit = throttles(
    POOL, "cluster", 20, "what runs is left alone"
)
FAIR_SHARE_HELP = (
    "KEY defines a share: `deployment`, `author` for the author of the deployment, or `tag:team` for the tag of "
    "the deployment that begins with team:."
)


def _fair_share(context: click.Context, parameter: click.Parameter, key: str | None) -> str | None:
    if key is not None and not re.match(FAIR_SHARE_PATTERN, key):
        raise click.BadParameter("Write deployment, author, or tag:… such as tag:team.")
    return key


set_fair_share = POOL.change(
    f"Let runs of one priority take turns. {FAIR_SHARE_HELP}",
    ("orion work-pool set-fair-share cluster tag:team", "by tags such as team:sales"),
    "orion work-pool set-fair-share cluster deployment",
    changes=lambda options: {"fair_share": options["key"]},
    done="shares fairly by {key}",
    params=[click.Argument(["key"], callback=_fair_share)],
)
clear_fair_share = POOL.change(
    "Start the runs of one priority in the order in which they wait, without shares.",
    "orion work-pool clear-fair-share cluster",
    changes={"fair_share": None},
    done="shares by the order of arrival",
)
preview = preview_command(
    POOL,
    "Show the runs that workers would get next, in order, considering limits and pauses.",
    "orion work-pool preview cluster --within 2h",
    look=lambda pool, before, limit: look_at_due_runs_of_pool(pool["name"], before=before, limit=limit),
    run_of=itemgetter("flow_run"),
)
delete = POOL.delete(
    "Delete a pool with its queues and workers. With --force also one in use: its runs wait until it is created again.",
    "orion work-pool delete cluster --dry-run",
    "orion work-pool delete cluster --yes",
    what="the work pool {} with its queues",
    forced=True,
)


@command(
    "orion work-pool create small",
    "orion work-pool create gpus --limit 4 --paused",
    "orion work-pool create cluster --type kubernetes",
    "orion work-pool create boxes --type docker --base-job-template template.json",
)
@click.argument("name")
@click.option(
    "--type", "kind", metavar="TYPE", default="process", show_default=True,
    help="Where runs go: process, docker or kubernetes.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Run at most this many of its runs at once.")
@click.option("--fair-share", metavar="KEY", callback=_fair_share, help="Take turns by deployment, author or tag:….")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--paused", is_flag=True, help="Create it paused.")
@click.option("--base-job-template", "template", type=click.Path(path_type=Path), help=TEMPLATE_HELP)
def create(
    session: Session, name: str, kind: str, limit: int | None, fair_share: str | None, description: str | None,
    paused: bool, template: Path | None,
) -> None:  # fmt: skip
    """Create a work pool with a default queue."""
    fields = {
        "name": name,
        "type": kind,
        "concurrency_limit": limit,
        "fair_share": fair_share,
        "description": description,
        "is_paused": paused,
        "base_job_template": read_template(template),
    }
    session.report(f"Created the work pool {name}.", session.api.ask(WORK_POOLS.create(without_none(fields))))


@command("orion work-pool update cluster --base-job-template template.json")
@click.argument("pool")
@click.option("--base-job-template", "template", type=click.Path(path_type=Path), help=TEMPLATE_HELP)
@click.option("--description", metavar="TEXT", help="What it is for.")
def update(session: Session, pool: str, template: Path | None, description: str | None) -> None:
    """Change the job template or the description of a pool. Runs that have started are not affected."""
    changes = without_none({"base_job_template": read_template(template), "description": description})
    if not changes:
        raise click.UsageError("Say what to change: --base-job-template or --description.")
    session.api.ask(WORK_POOLS.update(pool, changes))
    session.report(f"Updated the work pool {pool}.", session.api.ask(WORK_POOLS.read(pool)))


@command(
    "orion work-pool get-default-base-job-template --type kubernetes",
    "orion work-pool get-default-base-job-template --type docker > template.json",
)
@click.option("--type", "kind", metavar="TYPE", required=True, help="The type of the pools, such as docker.")
def get_default_base_job_template(session: Session, kind: str) -> None:
    """Show the default job template of pools of a type, as JSON: change it, and give it to a pool."""
    known = {one["type"]: one for found in session.api.ask(WORKER_TYPES).values() for one in found.values()}
    if kind not in known:
        raise click.UsageError(f"There are no pools of the type {kind!r}; the types are {', '.join(sorted(known))}.")
    session.terminal.out(json.dumps(known[kind]["default_base_job_configuration"], indent=2))


def read_template(file: Path | None) -> Json | None:
    if file is None:
        return None
    try:
        template = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise click.UsageError(f"{file} is not JSON: {error}.") from error
    if not isinstance(template, dict):
        raise click.UsageError(f"{file} holds no job template: an object with job_configuration and variables.")
    return template
