"""`orion services start` and `orion services schedule`: run the services outside of servers.

Django is imported late.
"""

from __future__ import annotations

import signal
import threading

import click

from orion_site.database.commands import django_ready
from orionflow.cli.command import OrionCommand


@click.group()
def services() -> None:
    """Tick the services of Orion; the SDK has `orion services ls`."""


@services.command(
    cls=OrionCommand,
    examples=(("orion services start", "for servers that were started with --no-services"),),
)
def start() -> None:
    """Run the services in this process until Ctrl-C. Any number of such processes may use one database."""
    with django_ready():
        from orion_site.services.registry import services_of_this_server
        from orion_site.services.ticker import Ticker

        ticker = Ticker(services_of_this_server())
        # Before threads start: an earlier signal would end the process in the middle of a service.
        over = _until_stopped()
        ticker.start()
        click.echo(
            f"Services that tick here: {len(ticker.services)}. Ctrl-C stops them.",
            err=True,
        )
        over.wait()
        ticker.stop()
    click.echo("The services have stopped.", err=True)


@services.command(
    cls=OrionCommand,
    examples=(("orion services schedule", "then start beat and a worker: docs/reference/services.md"),),
)
def schedule() -> None:
    """Store the services as periodic tasks of django-celery-beat. Servers and beat also do so at their start."""
    with django_ready():
        from django.conf import settings

        if not settings.ORION_BEAT:
            raise click.UsageError(
                "The tables of django-celery-beat are not in use; set ORION_BEAT=true and run `orion database upgrade`."
            )
        from orion_site.services.beat import write_periodic_tasks

        names = write_periodic_tasks()
    click.echo(f"Celery beat ticks {len(names)} services: {', '.join(names)}.", err=True)


def _until_stopped() -> threading.Event:
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Only a flag, because stopping waits for threads.
        signal.signal(number, lambda *_: over.set())
    return over
