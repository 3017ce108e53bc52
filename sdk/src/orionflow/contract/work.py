"""Work pools and work queues on the wire: the fields that can be set, and their stored forms.

A column that the API returns is a line of `WorkPool` or `WorkQueue`; the server reads it from the row by that name.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from orionflow.contract.kinds import AGENT_POOL, FAIR_SHARE_PATTERN
from orionflow.contract.wire import (
    NAME_PATTERN,
    OWN,
    Answer,
    Findable,
    JSONObject,
    Moment,
    Name,
    Natural,
    Stored,
    StrictWire,
    Tags,
    Text255,
    Wire,
)

Status = Literal["READY", "NOT_READY", "PAUSED"]
FairShare = Annotated[str, Field(max_length=255, pattern=FAIR_SHARE_PATTERN)]

# --- pools ----------------------------------------------------------------------------------------------------------


class WorkPoolUpdate(StrictWire):
    """Changes of a pool. Only the fields that are sent are changed; null removes a limit or a fair share."""

    description: str | None = None
    is_paused: bool | None = None
    base_job_template: JSONObject | None = None
    concurrency_limit: Natural | None = None
    fair_share: FairShare | None = None


class WorkPoolCreate(StrictWire):
    # The server refuses an empty name itself, with the message and the status that clients of Prefect know.
    name: Annotated[str, Field(max_length=255, pattern=NAME_PATTERN.replace("+", "*")), Findable]
    description: str | None = None
    type: Text255 = AGENT_POOL
    base_job_template: JSONObject = {}
    is_paused: bool = False
    concurrency_limit: Natural | None = None
    fair_share: FairShare | None = None


class WorkPool(Stored):
    """A pool; it is READY while one of its workers is alive."""

    name: str
    description: str | None = None
    type: str
    base_job_template: dict[str, Any] = {}
    is_paused: bool = False
    concurrency_limit: int | None = None
    fair_share: Annotated[str | None, OWN] = None
    # None for a pool of agents, as only workers report their status.
    status: Status | None = None
    default_queue_id: UUID | None = None


# --- queues ---------------------------------------------------------------------------------------------------------

Priority = Annotated[int, Field(gt=0, lt=2**31)]


class QueueFilter(Wire):
    """The runs of a queue, selected by their tags or deployments instead of by its name."""

    tags: Tags | None = None
    deployment_ids: Annotated[list[UUID], Field(max_length=1000)] | None = None


class WorkQueueCreate(StrictWire):
    name: Name
    description: str | None = None
    is_paused: bool = False
    concurrency_limit: Natural | None = None
    priority: Priority | None = None
    filter: QueueFilter | None = None


class WorkQueueUpdate(StrictWire):
    """Changes of a queue. Only the fields that are sent are changed; null removes the limit."""

    name: Name | None = None
    description: str | None = None
    is_paused: bool | None = None
    concurrency_limit: Natural | None = None
    priority: Priority | None = None
    last_polled: Moment | None = None
    filter: QueueFilter | None = None


class WorkQueue(Stored):
    """A queue; it is READY while an agent or a worker serves it."""

    name: str
    description: str = ""
    is_paused: bool = False
    concurrency_limit: int | None = None
    priority: int = 1
    work_pool_id: UUID | None = None
    filter: dict[str, Any] | None = None
    last_polled: datetime | None = None
    work_pool_name: str | None = None
    status: Status = "NOT_READY"


class HealthPolicy(Answer):
    maximum_late_runs: int
    maximum_seconds_since_last_polled: int


class WorkQueueStatus(Answer):
    """Whether runs of the queue start in time."""

    healthy: bool
    late_runs_count: int
    last_polled: datetime | None = None
    health_check_policy: HealthPolicy


class Deletion(Wire):
    """Whether to delete something that is in use. Null: depends on how it is used."""

    force: bool | None = None
