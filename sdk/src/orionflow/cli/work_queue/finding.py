"""How a work queue is named: `name` in the default pool, `pool/name`, or an id."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote
from uuid import UUID

import click

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


def serving_command(pool: str | None, queue: str) -> str:
    """What to type to have an agent for it."""
    return f"orion agent start {'' if pool in (None, DEFAULT_POOL) else f'--pool {pool} '}-q {queue}"


def split_queues(pool: str | None, wanted: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """The pool that an agent serves and the names of its queues, which may be written `pool/name`."""
    parts = [one.rpartition("/") for one in wanted]
    pools = dict.fromkeys([*([pool] if pool else []), *(before for before, slash, _ in parts if slash)])
    if len(pools) > 1 or (pools and not pool and not all(slash for _, slash, _ in parts)):
        raise click.UsageError("An agent serves queues of one work pool; start one agent for each pool.")
    return next(iter(pools), None), tuple(name for _, _, name in parts)
