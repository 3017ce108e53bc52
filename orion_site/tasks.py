"""The services of Orion for Celery: one task, which ticks the service that its argument names."""

from __future__ import annotations

from celery import shared_task

from orion_site.services.registry import service_named
from orion_site.services.ticker import call, note

SERVICES_QUEUE = "orion-services"
TICK = "orion.tick"


@shared_task(name=TICK, ignore_result=True)
def tick(name: str) -> None:
    """Tick the service once and write down how that went. Raises KeyError for a service that there is no more."""
    service = service_named(name)
    call(service)
    note([service])
