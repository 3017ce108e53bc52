"""Log lines on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from orionflow.contract.wire import Moment, Stored, StrictWire


class LogCreate(StrictWire):
    id: UUID | None = None
    name: str
    level: Annotated[int, Field(ge=-(2**15), lt=2**15)]
    message: str
    timestamp: Moment
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class Log(Stored):
    name: str
    level: int
    message: str
    timestamp: datetime
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
