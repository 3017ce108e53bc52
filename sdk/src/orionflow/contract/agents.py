"""Agents and workers on the wire: registration, claims, heartbeats, exits. See docs/explanation/dispatch.md."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from orionflow.contract.runs import FlowRun, PolledFlowRun
from orionflow.contract.wire import (
    OWN,
    Answer,
    Details,
    Int,
    Moment,
    Name,
    Names,
    Natural,
    Stored,
    Text255,
    Wire,
)

MOST_RUNS = 1000
LONGEST_WAIT_SECONDS = 60
# Each queue may have to be created; an agent that serves more queues should serve a pool.
MOST_QUEUES = 100


def hint_queue(work_queue_id: UUID) -> str:
    """Return the broker's queue on which the agents of a work queue listen."""
    return f"orion-runs.{work_queue_id}"


# --- registering ----------------------------------------------------------------------------------------------------


class HeldRun(Wire):
    id: UUID
    epoch: Natural


HeldRuns = Annotated[list[HeldRun], Field(max_length=MOST_RUNS)]


class AgentRegistration(Wire):
    """The registration of an agent; without queues it serves all of its pool."""

    name: Name
    incarnation: UUID
    work_pool_name: Name | None = None
    work_queues: Annotated[list[Name], Field(max_length=MOST_QUEUES)] = []
    concurrency: Annotated[Natural, Field(ge=1)] = 1
    host: Text255 | None = None
    pid: Natural | None = None
    version: Text255 | None = None
    # Runs in containers that survived a restart of the agent. All its other runs are revoked.
    survivors: HeldRuns = []


class ServedQueue(Answer):
    """A queue of the agent, and the broker's queue for hints about its due runs."""

    id: UUID
    name: str
    hint_queue: str


class AgentLeave(Wire):
    incarnation: UUID


# --- claiming -------------------------------------------------------------------------------------------------------


class ClaimRequest(Wire):
    incarnation: UUID
    limit: Annotated[int, Field(ge=0, le=MOST_RUNS)] = 1
    flow_run_id: UUID | None = None


class ClaimedDeployment(Answer):
    """The code that the run's deployment names. Its `job_variables` include those of the run, which take precedence."""

    id: UUID
    name: str
    version: str | None = None
    tags: Names = []
    entrypoint: str | None = None
    path: str | None = None
    pull_steps: Any = None
    job_variables: Details = {}
    result_storage: Annotated[str | None, OWN] = None


class ClaimedRun(Answer):
    """A run that belongs to the agent now; every request of the attempt contains its epoch."""

    flow_run: FlowRun
    flow_name: str
    epoch: int
    deployment: ClaimedDeployment | None = None
    # The token of the attempt, if its agent has a key.
    run_token: str | None = None


class RegisteredAgent(Answer):
    """How often an agent sends heartbeats and polls, how long its leases last, and which queues it serves."""

    id: UUID
    lease_seconds: float
    heartbeat_seconds: float
    poll_seconds: float
    work_queues: list[ServedQueue] = []
    # The survivors that this agent may continue.
    adopted: Annotated[list[ClaimedRun], OWN] = []


# --- heartbeats and orders ------------------------------------------------------------------------------------------


class Heartbeat(Wire):
    incarnation: UUID
    runs: HeldRuns = []
    draining: bool = False


class OrdersRequest(Wire):
    """The attempts for which an agent wants orders, without those that it is already ending."""

    incarnation: UUID
    runs: HeldRuns = []


class WaitQuery(Wire):
    seconds: Annotated[float, Field(ge=0, le=LONGEST_WAIT_SECONDS)] = 0


class Order(StrEnum):
    """The order for an attempt: continue, end as cancelled or paused, or stop, because it belongs to another agent."""

    OK = "ok"
    CANCEL = "cancel"
    PAUSE = "pause"
    LOST = "lost"


class RunOrder(Answer):
    id: UUID
    order: Order


class Orders(Answer):
    """The orders for attempts; attempts without one are left out."""

    orders: list[RunOrder] = []


class HeartbeatReply(Answer):
    lease_seconds: float
    orders: list[RunOrder] = []
    # For an agent that serves its whole pool: some queues may be new to it.
    work_queues: list[ServedQueue] = []


class AttemptExit(Wire):
    """How the process of an attempt ended. `reason` says why the agent ended it, if it did."""

    incarnation: UUID
    flow_run_id: UUID
    epoch: Natural
    exit_code: Int | None = None
    signal: Annotated[int, Field(ge=1, le=128)] | None = None
    reason: Text255 | None = None
    message: Annotated[str, Field(max_length=10_000)] | None = None


# --- workers, and polling as they do it -----------------------------------------------------------------------------


class WorkerHeartbeat(Wire):
    name: Name
    # Clients send fractions of seconds; whole seconds are stored.
    heartbeat_interval_seconds: Annotated[float, Field(gt=0, lt=2**31)] | None = None


class Worker(Stored):
    """A worker; it is OFFLINE after three missed heartbeats."""

    name: str
    work_pool_id: UUID
    last_heartbeat_time: datetime | None = None
    heartbeat_interval_seconds: int | None = None
    status: Literal["ONLINE", "OFFLINE"] = "OFFLINE"


class Poll(Wire):
    scheduled_before: Moment | None = None
    limit: int | None = None


class PoolPoll(Poll):
    work_queue_names: Annotated[list[Name], Field(max_length=1000)] | None = None
    scheduled_after: Moment | None = None


class QueuePoll(Poll):
    agent_id: UUID | None = None


class DeploymentPoll(Poll):
    deployment_ids: Annotated[list[UUID], Field(max_length=1000)]


class WorkerFlowRun(Answer):
    """A run for a worker, and the ids of its pool and queue."""

    work_pool_id: UUID
    work_queue_id: UUID
    flow_run: PolledFlowRun
