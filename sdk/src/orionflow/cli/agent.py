"""`orion agent`: processes that claim runs of deployed flows from work queues."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from orionflow.calls.work import WORK_POOLS, agents_of
from orionflow.cli.backend import Json
from orionflow.cli.columns import ID, Col, ago
from orionflow.cli.command import OrionCommand
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.session import Session, command

agent = LazyGroup(
    "agent",
    __name__,
    entries={
        "start": "Execute runs of deployed flows.",
        "ls": "List the agents, and which of them are alive.",
    },
    examples=(("orion agent start -q default", "serve a queue"), ("orion agent ls", "who serves what?")),
    help="Agents: they take runs of deployed flows from work queues and execute each in a process of its own.",
)


@command(("orion agent ls", "all agents and workers"), ("orion agent ls -o json", "as the API's objects"), times=True)
@click.option("-p", "--pool", metavar="POOL", help="Only agents of this work pool.")
def ls(session: Session, pool: str | None) -> None:
    """List the agents of all pools, and which of them are alive."""
    api = session.api
    pools = [pool] if pool else [one["name"] for one in api.pages(WORK_POOLS, {}, None)]
    agents: list[Json] = []
    for name in pools:
        found = api.pages(agents_of(name), {}, None)
        agents += [{**agent, "work_pool_name": name} for agent in found]
    columns = [
        Col("NAME", "name"),
        Col("POOL", "work_pool_name"),
        Col("STATUS", "status", lambda status, clock: str(status or "-").lower()),
        Col("SEEN", "last_heartbeat_time", ago),
        ID,
    ]
    session.show_list(agents, columns, empty="No agents yet; start one with orion agent start -q default")


UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:I?B)?\s*$", re.IGNORECASE)


def read_bytes(text: str) -> int:
    """Read a size such as 512M, 2G or 1.5GiB."""
    found = _SIZE.match(text)
    if found is None:
        raise click.UsageError(f"{text!r} is not a size; write 512M or 2G.")
    return int(float(found[1]) * UNITS[found[2].upper()])


@click.command(
    "start",
    cls=OrionCommand,
    examples=(
        ("orion agent start -q default", "serve one queue"),
        ("orion agent start -q nightly -q adhoc --concurrency 8", "two queues, eight runs at once"),
        ("orion agent start --pool gpu --broker redis://10.0.0.5:6379/0", "every queue of a pool, with hints"),
        ("orion agent start -q default --run-once", "run what is due, then end"),
    ),
)
@click.option(
    "-q",
    "--queue",
    "--work-queue",
    "queues",
    multiple=True,
    metavar="QUEUE",
    help="Serve this queue: NAME or POOL/NAME.",
)
@click.option("-p", "--pool", metavar="POOL", help="The work pool of the queues; alone: every queue of it.")
@click.option(
    "-c", "--concurrency", "--limit", type=click.IntRange(min=1), default=4, show_default=True,
    help="Run at most this many at once.",
)  # fmt: skip
@click.option("--broker", metavar="URL", help="The broker for hints; default: ORION_BROKER_URL. Optional.")
@click.option(
    "--name", metavar="NAME", help="How the agent is named; default: its machine and home, such as machine-1a2b3c."
)
@click.option(
    "--drain-timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS",
    help="How long runs may continue when the agent is asked to end.",
)  # fmt: skip
@click.option(
    "--stop-timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS",
    help="How long the process of a cancelled run may take to end before it is killed.",
)  # fmt: skip
@click.option("--run-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="End runs that take longer.")
@click.option("--memory-limit", metavar="SIZE", help="The limit of address space of a run's process, such as 2G.")
@click.option(
    "--process-limit", type=click.IntRange(min=1), metavar="COUNT",
    help="The maximum number of processes and threads of this user; does not apply to root.",
)  # fmt: skip
@click.option(
    "--launcher", type=click.Choice(["fork", "spawn"]),
    help="fork: a warmed process copies itself; spawn: a fresh interpreter for each run. Default: fork, but on macOS.",
)  # fmt: skip
@click.option("--run-once", is_flag=True, help="Run what is due now, then end.")
@click.option("--follow-stdin", is_flag=True, hidden=True)
def start(
    queues: Sequence[str], pool: str | None, concurrency: int, broker: str | None, name: str | None,
    drain_timeout: float, stop_timeout: float, run_timeout: float | None, memory_limit: str | None,
    process_limit: int | None, launcher: str | None, run_once: bool, follow_stdin: bool,
) -> int:  # fmt: skip
    """Claim runs of deployments from work queues and execute each in its own process, until Ctrl-C.

    The first Ctrl-C lets runs finish for --drain-timeout seconds; another one ends them at once.
    """
    from orionflow.agent.agent_client import DEFAULT_LAUNCHER, AgentOptions
    from orionflow.agent.naming import hold_name
    from orionflow.agent.supervisor import Supervisor
    from orionflow.cli.work_queue import split_queues
    from orionflow.logging import set_up
    from orionflow.settings import current_settings

    pool, names = split_queues(pool, queues)
    settings = current_settings()
    if settings.api_url is None:
        raise click.UsageError(
            "An agent needs a server to take runs from: start one with `orion server start`, and set ORION_API_URL to "
            "its address."
        )
    set_up()
    held = hold_name(settings.home, name)
    options = AgentOptions(
        home=settings.home,
        queues=names,
        pool=pool,
        concurrency=concurrency,
        broker=broker or settings.broker_url,
        name=name,
        drain_seconds=drain_timeout,
        stop_seconds=stop_timeout,
        run_seconds=run_timeout,
        memory_bytes=read_bytes(memory_limit) if memory_limit else None,
        processes=process_limit,
        launcher="spawn" if launcher == "spawn" else "fork" if launcher == "fork" else DEFAULT_LAUNCHER,
        once=run_once,
        follows_stdin=follow_stdin,
    )
    try:
        return Supervisor(options, held).run()
    finally:
        held.release()
