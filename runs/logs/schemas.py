"""Log lines as they are told."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from typing_extensions import TypedDict

from runs.models import Log


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


def log_out(line: Log) -> LogOut:
    return {
        "id": line.id,
        "created": line.created,
        # Lines never change.
        "updated": line.created,
        "name": line.name,
        "level": line.level,
        "message": line.message,
        "timestamp": line.timestamp,
        "flow_run_id": line.flow_run_id,
        "task_run_id": line.task_run_id,
    }
