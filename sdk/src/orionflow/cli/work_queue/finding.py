"""How a work queue is named: `name` in the default pool, `pool/name`, or an id."""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

from orionflow.cli.backend import Backend, Json
from orionflow.cli.finding import missing


def find_queue(api: Backend, wanted: str) -> Json:
    """The one queue that is meant; otherwise exit 5, with names that are like it."""
    from orionflow.errors import NotFound

    try:
        found: Json = api.get(_path(wanted))
    except NotFound:
        known = [queue_name(one) for one in api.pages("/work_queues/filter", {}, 1000)]
        raise missing("work queue", wanted, known) from None
    return found


def _path(wanted: str) -> str:
    pool, slash, name = wanted.rpartition("/")
    if slash:
        return f"/work_pools/{quote(pool, safe='')}/queues/{quote(name, safe='')}"
    try:
        return f"/work_queues/{UUID(wanted)}"
    except ValueError:
        return f"/work_queues/name/{quote(wanted, safe='')}"


DEFAULT_POOL = "default-agent-pool"


def queue_name(queue: Json) -> str:
    """The name by which the queue is found again."""
    pool = queue.get("work_pool_name")
    return str(queue["name"]) if pool in (None, DEFAULT_POOL) else f"{pool}/{queue['name']}"
