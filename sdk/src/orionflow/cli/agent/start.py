"""`orion agent start`."""

from __future__ import annotations

import click

from orionflow.cli.command import OrionCommand
from orionflow.cli.sizes import read_bytes


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
    help="The most runs at once.",
)  # fmt: skip
@click.option("--broker", metavar="URL", help="Where hints come from; default: ORION_BROKER_URL. None is needed.")
@click.option("--name", metavar="NAME", help="How the agent is named; default: the name of the machine.")
@click.option(
    "--drain-timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS",
    help="How long runs may go on when the agent is told to end.",
)  # fmt: skip
@click.option(
    "--stop-timeout", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS",
    help="How long the process of a cancelled run may take to end before it is killed.",
)  # fmt: skip
@click.option("--run-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="End runs that take longer.")
@click.option("--memory-limit", metavar="SIZE", help="The most address space of a run's process, such as 2G.")
@click.option(
    "--process-limit", type=click.IntRange(min=1), metavar="COUNT",
    help="No run starts more while this user has so many processes and threads; root is not bound by it.",
)  # fmt: skip
@click.option(
    "--launcher", type=click.Choice(["fork", "spawn"]),
    help="fork: a warmed process copies itself; spawn: a fresh interpreter for each run. Default: fork, but on macOS.",
)  # fmt: skip
@click.option("--run-once", is_flag=True, help="Run what is due now, then end.")
@click.option("--follow-stdin", is_flag=True, hidden=True)
def start(
    queues: tuple[str, ...], pool: str | None, concurrency: int, broker: str | None, name: str | None,
    drain_timeout: float, stop_timeout: float, run_timeout: float | None, memory_limit: str | None,
    process_limit: int | None, launcher: str | None, run_once: bool, follow_stdin: bool,
) -> int:  # fmt: skip
    """Take runs of deployed flows from work queues and execute each in a process of its own, until Ctrl-C.

    The first Ctrl-C lets runs finish for --drain-timeout seconds; another one ends them at once.
    """
    from orionflow.agent.naming import hold_name
    from orionflow.agent.options import DEFAULT_LAUNCHER, AgentOptions
    from orionflow.agent.supervisor import Supervisor
    from orionflow.agent.telling import begin_telling
    from orionflow.cli.work_queue.finding import split_queues
    from orionflow.settings import current_settings

    pool, names = split_queues(pool, queues)
    settings = current_settings()
    _refuse_without_api(settings.api_url)
    begin_telling()
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


def _refuse_without_api(api_url: str | None) -> None:
    if api_url is None:
        raise click.UsageError(
            "An agent needs a server to take runs from: start one with `orion server start`, and set ORION_API_URL to "
            "its address."
        )
