"""Runs that are about to be created, as their creators describe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestration.core.runs import Run
from orchestration.json_columns import policy_from
from orchestration.tables import FLOW_RUNS, TASK_RUNS, Tables, json_text

# Identifies a call of a task: its flow run, task key and dynamic key.
Call = tuple[UUID | None, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFlowRun:
    """A flow run to be created. If the idempotency key (or id) is known, the run that has it is used instead."""

    flow_id: UUID
    id: UUID | None = None
    name: str = ""
    tags: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    empirical_policy: dict[str, Any] = field(default_factory=dict)
    job_variables: dict[str, Any] = field(default_factory=dict)
    flow_version: str | None = None
    parent_task_run_id: UUID | None = None
    deployment_id: UUID | None = None
    deployment_version: str | None = None
    work_queue_id: UUID | None = None
    work_queue_name: str | None = None
    infrastructure_document_id: UUID | None = None
    idempotency_key: str | None = None
    auto_scheduled: bool = False
    schedule_id: UUID | None = None
    process: str | None = None
    environment_id: UUID | None = None
    created_by: dict[str, Any] | None = None
    limited_by: list[int] | None = None

    @property
    def tables(self) -> Tables:
        return FLOW_RUNS

    def run(self, run_id: UUID, policy: str) -> Run:
        """Return the run as the rules see it."""
        return Run(
            id=run_id,
            kind="flow-run",
            policy=policy_from(policy),
            parent_task_run_id=self.parent_task_run_id,
            deployment_id=self.deployment_id,
            is_in_a_program=self.process is not None,
        )

    def columns(self) -> dict[str, Any]:
        """Return the columns that do not follow from its states."""
        return {name: getattr(self, name) for name in _FLOW_RUN_COLUMNS} | {"lost_starts": 0}


_FLOW_RUN_COLUMNS = tuple(f.name for f in fields(NewFlowRun) if f.name not in {"id", "empirical_policy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTaskRun:
    """A task run to be created. Task key and dynamic key identify one call in its flow run."""

    task_key: str
    dynamic_key: str
    flow_run_id: UUID | None = None
    name: str = ""
    tags: Sequence[str] = ()
    empirical_policy: Mapping[str, Any] = field(default_factory=dict)
    task_inputs: Mapping[str, Any] = field(default_factory=dict)
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    task_version: str | None = None

    @property
    def tables(self) -> Tables:
        return TASK_RUNS

    @property
    def call(self) -> Call:
        return (self.flow_run_id, self.task_key, self.dynamic_key)

    def run(self, run_id: UUID, policy: str) -> Run:
        """Return the run as the rules see it."""
        return Run(
            id=run_id,
            kind="task-run",
            policy=policy_from(policy),
            tags=tuple(self.tags),
            flow_run_id=self.flow_run_id,
        )

    def columns(self) -> dict[str, Any]:
        """Return the columns that do not follow from its states."""
        return {
            "name": self.name,
            "tags": json_text(self.tags) if self.tags else "[]",
            "flow_run_id": self.flow_run_id,
            "task_key": self.task_key,
            "dynamic_key": self.dynamic_key,
            "cache_key": self.cache_key,
            "cache_expiration": self.cache_expiration,
            "task_version": self.task_version,
            "task_inputs": json_text(self.task_inputs) if self.task_inputs else "{}",
        }


NewRun = NewFlowRun | NewTaskRun
