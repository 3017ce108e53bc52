"""Calls about work pools and queues, and about their agents. Pools are identified by their names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from orionflow import contract, wire
from orionflow.calls import Call, Collection, body

if TYPE_CHECKING:
    from orionflow.contract.agents import Worker, WorkerFlowRun
    from orionflow.contract.work import WorkPool, WorkQueue, WorkQueueStatus
    from orionflow.wire import FlowRun

WORK_POOLS: Collection[WorkPool] = Collection("/work_pools", lambda: contract.work.WorkPool, key="name")
WORK_QUEUES: Collection[WorkQueue] = Collection("/work_queues", lambda: contract.work.WorkQueue)
# The types of work pools by package and type, with the default job template of each.
WORKER_TYPES: Call[Any] = Call("GET", "/collections/views/aggregate-worker-metadata", read=Any)
# With this header a request does not count as a sign of an agent that serves the queue.
_ONLY_LOOKING: Mapping[str, str] = {"X-PREFECT-UI": "true"}


def queues_of(pool: str) -> Collection[WorkQueue]:
    """Return the collection of queues of one pool, by their names in it."""
    return Collection(f"{WORK_POOLS.one(pool)}/queues", WORK_QUEUES.answer, key="name", end="")


def agents_of(pool: str) -> Collection[Worker]:
    """Return the collection of agents and workers that serve one pool."""
    return Collection(f"{WORK_POOLS.one(pool)}/workers", lambda: contract.agents.Worker, key="name")


def create_work_pool(name: str, type: str, **fields: Any) -> Call[WorkPool]:
    """Create a work pool; the answer is a conflict if one of that name exists."""
    return WORK_POOLS.create(body(contract.work.WorkPoolCreate, name=name, type=type, **fields))


def read_work_queue_by_name(name: str) -> Call[WorkQueue]:
    """Read a queue of the default pool by its name."""
    return Call("GET", f"{WORK_QUEUES.path}/name/{quote(name, safe='')}", read=WORK_QUEUES.answer)


def read_work_queue_status(work_queue_id: UUID | str) -> Call[WorkQueueStatus]:
    """Check whether the runs of a queue start in time."""
    return Call("GET", f"{WORK_QUEUES.one(work_queue_id)}/status", read=lambda: contract.work.WorkQueueStatus)


def look_at_due_runs(work_queue_id: UUID | str, *, before: datetime, limit: int) -> Call[list[FlowRun]]:
    """Read the runs that an agent of a queue would be given next, in that order, without claiming them."""
    asked = {"scheduled_before": before.isoformat(), "limit": limit}
    path = f"{WORK_QUEUES.one(work_queue_id)}/get_runs"
    return Call("POST", path, asked, read=lambda: list[wire.FlowRun], headers=_ONLY_LOOKING)


def look_at_due_runs_of_pool(pool: str, *, before: datetime, limit: int) -> Call[list[WorkerFlowRun]]:
    """Read the runs that a worker of a pool would be given next, each below `flow_run`, without claiming them."""
    asked = {"scheduled_before": before.isoformat(), "limit": limit}
    path = f"{WORK_POOLS.one(pool)}/get_scheduled_flow_runs"
    return Call("POST", path, asked, read=lambda: list[contract.agents.WorkerFlowRun], headers=_ONLY_LOOKING)
