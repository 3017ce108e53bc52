"""Flows, their runs, and the verdicts on what becomes of those."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import UUID

from pydantic import Field

from orionflow.states import StateType
from orionflow.wire.answer import Answer, AnyState, Details, Names, Stored


class Flow(Stored):
    name: str
    tags: Names = []


class Run(Stored):
    """What flow runs and task runs have in common."""

    name: str | None = None
    tags: Names = []
    empirical_policy: Details = {}
    state_id: UUID | None = None
    state_type: StateType | None = None
    state_name: str | None = None
    state: AnyState = None
    run_count: int = 0
    expected_start_time: datetime | None = None
    next_scheduled_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: float = 0.0
    estimated_run_time: float = 0.0
    estimated_start_time_delta: float = 0.0


class FlowRun(Run):
    if TYPE_CHECKING:

        def __await__(self) -> Generator[Any, Any, Self]:
            """Where a call is awaited in coroutines and not elsewhere, its type must fit both."""

    flow_id: UUID
    deployment_id: UUID | None = None
    deployment_version: str | None = None
    flow_version: str | None = None
    parameters: Details = {}
    context: Details = {}
    idempotency_key: str | None = None
    parent_task_run_id: UUID | None = None
    work_queue_id: UUID | None = None
    work_queue_name: str | None = None
    work_pool_id: UUID | None = None
    work_pool_name: str | None = None
    auto_scheduled: bool = False
    infrastructure_document_id: UUID | None = None
    infrastructure_pid: str | None = None
    job_variables: Details = {}


class TaskRun(Run):
    flow_run_id: UUID | None = None
    task_key: str
    dynamic_key: str
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    task_version: str | None = None
    task_inputs: Details = {}
    flow_run_run_count: int = 0


class VerdictDetails(Answer):
    type: str | None = None
    reason: str | None = None
    delay_seconds: int | None = None


class OrchestrationResult(Answer):
    """The verdict on one proposed state, and the run's state after it."""

    status: Literal["ACCEPT", "REJECT", "WAIT", "ABORT"]
    state: AnyState = None
    details: VerdictDetails = Field(default_factory=VerdictDetails)

    @property
    def reason(self) -> str | None:
        return self.details.reason
