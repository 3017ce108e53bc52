"""Orion's services as Celery tasks for clusters: `celery -A orion_site worker -Q orion-services`, and beat.

No other module imports this: servers send hints without Celery, and agents have an application of their own.
"""

from __future__ import annotations

import os
from typing import Any


def application() -> Any:
    """Return the application for the `celery` command."""
    # First, because Celery's support for Django looks for it.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
    import django

    django.setup()
    from celery.signals import beat_init
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from orionflow.agent.broker import celery_app

    if not settings.ORION_BROKER_URL:
        raise ImproperlyConfigured(
            "ORION_BROKER_URL is empty; Celery needs a broker, such as redis://localhost:6379/0."
        )
    if not settings.ORION_BEAT:
        raise ImproperlyConfigured(
            "The tables of django-celery-beat are not in use; set ORION_BEAT=true and run `orion database upgrade`."
        )
    from orion_site.services.beat import SERVICES_QUEUE, write_periodic_tasks

    found = celery_app("orion", settings.ORION_BROKER_URL)
    found.conf.update(
        beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler",
        imports=("orion_site.services.beat",),
        task_default_queue=SERVICES_QUEUE,
        timezone="UTC",
    )
    beat_init.connect(lambda **_: write_periodic_tasks(), weak=False)
    return found


app = application()
