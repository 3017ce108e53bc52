"""Logs: lines arrive in batches and are read in pages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.utils import timezone
from pydantic import Field
from typing_extensions import TypedDict

from orchestration.api.operations import Operation
from orchestration.api.pagination import Page, rows_of
from orchestration.wire import Moment, StrictWire
from orion_site.accounts.permissions import Action
from runs.filters.conditions import matched
from runs.filters.resources import LogFilter
from runs.filters.sorts import ORDERS, LogSort
from runs.models import Log
from runs.services.logs import NewLog, record_logs

MOST_LINES = 10_000


class LogCreate(StrictWire):
    name: str
    level: Annotated[int, Field(ge=-(2**15), lt=2**15)]
    message: str
    timestamp: Moment
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class LogListing(Page):
    logs: LogFilter | None = None
    sort: LogSort = LogSort.TIMESTAMP_ASC


class LogOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    name: str
    level: int
    message: str
    timestamp: datetime
    flow_run_id: UUID | None
    task_run_id: UUID | None


class CreateLogs(Operation):
    """Store log lines. A message over 64 KiB is cut and says so."""

    method = "POST"
    action_required = Action.REPORT_RUNS
    answers = {201: None}

    def perform(self, body: Annotated[list[LogCreate], Field(max_length=MOST_LINES)]) -> None:
        # A logger's name is for people; one that is longer than the column is no reason to lose the line.
        lines = [
            NewLog(line.name[:255], line.level, line.message, line.timestamp, line.flow_run_id, line.task_run_id)
            for line in body
        ]
        record_logs(lines=lines, now=timezone.now())


class FilterLogs(Operation):
    """List log lines."""

    method = "POST"
    action_required = Action.READ_RUNS
    answers = {200: list[LogOut]}
    body_optional = True

    def perform(self, body: LogListing) -> list[LogOut]:
        lines = Log.objects.filter(matched(body.logs)).order_by(*ORDERS[body.sort])
        return [log_out(line) for line in rows_of(lines, body)]


def log_out(line: Log) -> LogOut:
    return {
        "id": line.id,
        "created": line.created,
        "updated": line.created,
        "name": line.name,
        "level": line.level,
        "message": line.message,
        "timestamp": line.timestamp,
        "flow_run_id": line.flow_run_id,
        "task_run_id": line.task_run_id,
    }
