"""A second PostgreSQL with all tables, which the server takes for a replica: what differs in it says where was read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import settings as of_django
from django.db import connections, router
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist

from deployments.models import ServiceRecord
from orchestration.reading import REPLICA
from orion_site.database import replica
from orion_site.env import replica_from_url
from tests.postgresql import running_postgresql
from tests.security.conftest import ada, asker
from tests.web.conftest import browser

__all__ = ["ada", "asker", "browser"]


@pytest.fixture(scope="module")
def second_postgresql_url() -> Iterator[str]:
    with running_postgresql(ready=True) as url:
        yield url


@pytest.fixture
def second(
    transactional_db: None, second_postgresql_url: str, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> Iterator[None]:
    """Configured as the replica, and as fresh as its newest tick: see `ticked`."""
    configured = replica_from_url(second_postgresql_url)
    filled = connections.configure_settings({"default": {}, REPLICA: configured})[REPLICA]
    # What tests write there stands for what would be replicated.
    filled["OPTIONS"]["options"] = filled["OPTIONS"]["options"].replace("default_transaction_read_only=on", "jit=off")
    monkeypatch.setitem(connections.settings, REPLICA, filled)
    monkeypatch.setattr(of_django, "DATABASE_ROUTERS", ["orion_site.database.replica.ReplicaRouter"])
    monkeypatch.setattr(router, "routers", [replica.ReplicaRouter()])
    # Tests of Django may connect only to what was configured before them.
    allowed = partial(django_db_blocker._real_ensure_connection, connections[REPLICA])
    monkeypatch.setattr(connections[REPLICA], "ensure_connection", allowed)
    watch = replica.Watch()
    monkeypatch.setattr(watch, "_begin", lambda: None)
    monkeypatch.setattr(replica, "watch", watch)
    yield
    with suppress(ConnectionDoesNotExist):
        ServiceRecord.objects.using(REPLICA).all().delete()
        for table in ("runs_flowrunstate", "runs_flowrun", "runs_flow", "events_event"):
            with connections[REPLICA].cursor() as cursor:
                cursor.execute(f"TRUNCATE {table} CASCADE")
        connections[REPLICA].close()
        connections[REPLICA].close_pool()
    del connections[REPLICA]


def ticked(seconds_ago: float = 0) -> None:
    """Let the newest tick that the replica has be so old, and look at it."""
    at = timezone.now() - timedelta(seconds=seconds_ago)
    ServiceRecord.objects.using(REPLICA).update_or_create(name="hints", defaults={"every_seconds": 1, "last_tick": at})
    replica.watch.look()
