"""Logs arrive in batches."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from django.utils import timezone
from pydantic import Field

from orchestration.api.operations import Operation
from orchestration.wire import Moment, StrictWire
from orion_site.accounts.permissions import Action
from runs.services.logs import NewLog, record_logs

MOST_LINES = 10_000


class LogCreate(StrictWire):
    id: UUID | None = None
    name: str
    level: Annotated[int, Field(ge=-(2**15), lt=2**15)]
    message: str
    timestamp: Moment
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class CreateLogs(Operation):
    """Store log lines. A message over 64 KiB is cut and says so."""

    method = "POST"
    action_required = Action.REPORT_RUNS
    answers = {201: None}

    def perform(self, body: Annotated[list[LogCreate], Field(max_length=MOST_LINES)]) -> None:
        # A logger's name is for people; one that is longer than the column is no reason to lose the line.
        lines = [
            NewLog(one.name[:255], one.level, one.message, one.timestamp, one.flow_run_id, one.task_run_id, one.id)
            for one in body
        ]
        record_logs(lines=lines, now=timezone.now())
