"""`orion task-worker`: processes that call the task functions of flows with a CeleryTaskRunner."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import click

from orionflow.cli.command import OrionCommand
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.terminal import Terminal


@click.command(
    "start",
    cls=OrionCommand,
    examples=(
        ("orion task-worker start --concurrency 4", "call tasks in four processes"),
        ("orion task-worker start -q gpu --broker redis://10.0.0.5:6379/0", "those of the queue gpu"),
    ),
)
@click.option("-q", "--queue", "queues", multiple=True, metavar="QUEUE", help="Serve this queue; default: default.")
@click.option("-c", "--concurrency", type=click.IntRange(min=1), help="Processes; default: one for each core.")
@click.option("--broker", metavar="URL", help="The broker; default: ORION_BROKER_URL.")
@click.option("--name", metavar="NAME", help="How the worker is named in messages; default: host and process id.")
@click.pass_obj
def start(
    terminal: Terminal, queues: Sequence[str], concurrency: int | None, broker: str | None, name: str | None
) -> None:
    """Run the tasks of flows with a CeleryTaskRunner, until Ctrl-C.

    Workers and flows must have the same ORION_TASK_KEY, or the same ORION_HOME. Users who have the key can run code
    here.
    """
    from orionflow.agent.broker import celery_app
    from orionflow.settings import current_settings
    from orionflow.task_calls.seal import task_key
    from orionflow.task_calls.worker import TaskWorker

    url = broker or current_settings().broker_url
    if url is None:
        raise CommandFailed(
            ExitCode.USAGE,
            "A task worker gets its work through a broker, and none is named.",
            fix="set ORION_BROKER_URL, or give --broker redis://host:6379/0",
        )
    served, processes = queues or ("default",), concurrency or os.cpu_count() or 1
    worker = TaskWorker(
        celery_app("orion-task-worker", url),
        queues=served,
        concurrency=processes,
        name=name or f"{socket.gethostname()}-{os.getpid()}",
        key=task_key(),
    )
    terminal.note(f"Task worker {worker.name} serves {', '.join(served)} with {processes} processes. Ctrl-C ends it.")
    worker.run()


task_worker = LazyGroup(
    "task-worker",
    __name__,
    entries={"start": "Run tasks of flows on this machine."},
    examples=(("orion task-worker start -q default", "serve a queue"),),
    help="Task workers: the fleet that CeleryTaskRunner spreads tasks over.",
)
