"""The services as periodic tasks of django-celery-beat. Needs ORION_BEAT, which brings the tables."""

from __future__ import annotations

import json

from django_celery_beat.models import IntervalSchedule, PeriodicTask

from orion_site.services.registry import services_of_this_server
from orion_site.services.ticker import Service
from orion_site.tasks import SERVICES_QUEUE, TICK

PREFIX = "orion: "
# Ticks that waited longer for a worker are worth nothing: the next ones do their work. Clocks differ by less.
SHORTEST_LIFE_SECONDS = 60


def write_periodic_tasks() -> list[str]:
    """One periodic task for each service; those of services that are gone are deleted. The services' names."""
    services = services_of_this_server()
    for service in services:
        _write(service)
    names = [service.name for service in services]
    PeriodicTask.objects.filter(task=TICK).exclude(name__in=[PREFIX + name for name in names]).delete()
    return names


def _write(service: Service) -> None:
    every, _ = IntervalSchedule.objects.get_or_create(
        every=max(1, round(service.every)), period=IntervalSchedule.SECONDS
    )
    wanted = {
        "task": TICK,
        "interval": every,
        "args": json.dumps([service.name]),
        "queue": SERVICES_QUEUE,
        "expire_seconds": max(SHORTEST_LIFE_SECONDS, round(4 * service.every)),
        "description": service.description,
    }
    # Whether it is enabled stays as an operator left it.
    PeriodicTask.objects.update_or_create(name=PREFIX + service.name, defaults=wanted)
