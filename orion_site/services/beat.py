"""The services under Celery: a periodic task of django-celery-beat for each, and the task that workers execute.

It needs ORION_BEAT, which installs the tables. The rows are updated from the list of services whenever a server or beat
starts; operators may disable them and change their intervals in the admin.
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
# Ticks that waited longer for a worker are dropped: later ones do their work. Clocks differ by less than this.
SHORTEST_LIFE_SECONDS = 60
# The key under which a row stores the interval written here; if they differ, an operator changed the interval.
DEFAULT_INTERVAL = "orion-default-seconds"


@shared_task(name=TICK, ignore_result=True)
def tick(name: str) -> None:
    """Run the service once and record the result. Raises KeyError for a service that no longer exists."""
    service = service_named(name)
    call(service)
    with suppress(Error):
        # Use the interval of its row; otherwise a service with a longer interval would count as late.
        service.every = _seconds_of(PeriodicTask.objects.get(name=PREFIX + name)) or service.every
    note([service])


def write_periodic_tasks() -> list[str]:
    """Write one periodic task for each service, and delete tasks of removed services. Return the services' names."""
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
    # Servers that start together may all find it missing. The name is unique, and django-celery-beat validates before
    # saving: one server creates the row, and the others read it or get a ValidationError.
    with suppress(ValidationError):
        if PeriodicTask.objects.get_or_create(name=name, defaults={**wanted, **default})[1]:
            return
    task = PeriodicTask.objects.select_related("interval").get(name=name)
    if _is_as_written(task):
        wanted |= default
    elif own := _seconds_of(task):
        wanted["expire_seconds"] = _life(own)
    # Beat reloads all tasks after each save, so save only if something differs.
    if changed := [column for column, value in wanted.items() if getattr(task, column) != value]:
        for column in changed:
            setattr(task, column, wanted[column])
        task.save(update_fields=[*changed, "date_changed"])


def _is_as_written(task: PeriodicTask) -> bool:
    written = json.loads(task.headers or "{}").get(DEFAULT_INTERVAL)
    return written is None or written == _seconds_of(task)


def _seconds_of(task: PeriodicTask) -> float | None:
    """Return the interval of a task; None if an operator gave it another kind of schedule."""
    return None if task.interval is None else float(task.interval.schedule.run_every.total_seconds())


def _interval(seconds: int) -> IntervalSchedule:
    # Not `get_or_create`, which fails if there are two equal rows; the table allows that.
    wanted = {"every": seconds, "period": IntervalSchedule.SECONDS}
    return IntervalSchedule.objects.filter(**wanted).first() or IntervalSchedule.objects.create(**wanted)


def _life(seconds: float) -> int:
    return max(SHORTEST_LIFE_SECONDS, round(4 * seconds))
