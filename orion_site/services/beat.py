"""The services under Celery: a periodic task of django-celery-beat for each, and the task that workers execute.

Needs ORION_BEAT, which brings the tables. The rows are kept in step with the list of services whenever a server or beat
starts; operators may switch them off and change their intervals in the admin.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from celery import shared_task
from django.core.exceptions import ValidationError
from django.db import Error
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from orion_site.services.registry import service_named, services_of_this_server
from orion_site.services.ticker import Service, call, note

PREFIX = "orion: "
SERVICES_QUEUE = "orion-services"
TICK = "orion.tick"
# Ticks that waited longer for a worker are worth nothing: the next ones do their work. Clocks differ by less.
SHORTEST_LIFE_SECONDS = 60
# Where a row keeps the interval that was written here: any other one was chosen by an operator.
DEFAULT_INTERVAL = "orion-default-seconds"


@shared_task(name=TICK, ignore_result=True)
def tick(name: str) -> None:
    """Tick the service once and write down how that went. Raises KeyError for a service that there is no more."""
    service = service_named(name)
    call(service)
    with suppress(Error):
        # By the interval of its row, or a service that is ticked rarely on purpose would count as late.
        service.every = _seconds_of(PeriodicTask.objects.get(name=PREFIX + name)) or service.every
    note([service])


def write_periodic_tasks() -> list[str]:
    """Write one periodic task for each service, delete those of services that are gone; return the services' names."""
    services = services_of_this_server()
    for service in services:
        _write(service)
    names = [service.name for service in services]
    PeriodicTask.objects.filter(task=TICK).exclude(name__in=[PREFIX + name for name in names]).delete()
    return names


def _write(service: Service) -> None:
    seconds = max(1, round(service.every))
    wanted: dict[str, Any] = {
        "task": TICK,
        "args": json.dumps([service.name]),
        "queue": SERVICES_QUEUE,
        "description": service.description,
        "headers": json.dumps({DEFAULT_INTERVAL: seconds}),
    }
    default = {"interval": _interval(seconds), "expire_seconds": _life(seconds)}
    name = PREFIX + service.name
    # Servers that start together may all find it missing. The name is unique, and django-celery-beat looks before it
    # saves: one server creates the row, and the others meet it now or are told so.
    with suppress(ValidationError):
        if PeriodicTask.objects.get_or_create(name=name, defaults={**wanted, **default})[1]:
            return
    task = PeriodicTask.objects.select_related("interval").get(name=name)
    if _is_as_written(task):
        wanted |= default
    elif own := _seconds_of(task):
        wanted["expire_seconds"] = _life(own)
    # Beat reads all its tasks again after each save: only what differs is one.
    if changed := [column for column, value in wanted.items() if getattr(task, column) != value]:
        for column in changed:
            setattr(task, column, wanted[column])
        task.save(update_fields=[*changed, "date_changed"])


def _is_as_written(task: PeriodicTask) -> bool:
    written = json.loads(task.headers or "{}").get(DEFAULT_INTERVAL)
    return written is None or written == _seconds_of(task)


def _seconds_of(task: PeriodicTask) -> float | None:
    """The interval of a task; None where an operator gave it another kind of schedule."""
    return None if task.interval is None else float(task.interval.schedule.run_every.total_seconds())


def _interval(seconds: int) -> IntervalSchedule:
    # Not `get_or_create`: the table lets two rows be alike, and then that would fail.
    wanted = {"every": seconds, "period": IntervalSchedule.SECONDS}
    return IntervalSchedule.objects.filter(**wanted).first() or IntervalSchedule.objects.create(**wanted)


def _life(seconds: float) -> int:
    return max(SHORTEST_LIFE_SECONDS, round(4 * seconds))
