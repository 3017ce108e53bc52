"""Workers of other makes, as far as Orion knows them: they say that they are there, and are forgotten on request."""

from __future__ import annotations

from datetime import datetime, timedelta

from deployments.models import Worker
from deployments.work.services.work_queues import DEFAULT_POOL, default_pool, found_pool
from orchestration.errors import WorkerNotFound
from orchestration.transactions import repeated_on_conflict, write_transaction

USUAL_INTERVAL_SECONDS = 30
MISSED_HEARTBEATS = 3


@repeated_on_conflict
def hear_worker(*, pool_name: str, name: str, interval_seconds: int | None, now: datetime) -> None:
    """It is there until three of its heartbeats have been missed; an interval that is not told stays as it was."""
    with write_transaction():
        pool = default_pool(now) if pool_name == DEFAULT_POOL else found_pool(pool_name)
        mine = Worker.objects.filter(work_pool=pool, name=name)
        interval = interval_seconds or mine.values_list("heartbeat_interval_seconds", flat=True).first()
        patience = timedelta(seconds=MISSED_HEARTBEATS * (interval or USUAL_INTERVAL_SECONDS))
        heard = {"last_heartbeat": now, "heartbeat_interval_seconds": interval, "offline_at": now + patience}
        Worker.objects.update_or_create(
            work_pool=pool, name=name, defaults=heard, create_defaults={**heard, "created": now}
        )


def delete_worker(*, pool_name: str, name: str) -> None:
    with write_transaction():
        deleted, _ = Worker.objects.filter(work_pool=found_pool(pool_name), name=name).delete()
        if not deleted:
            raise WorkerNotFound(name=name)
