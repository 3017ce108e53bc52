"""The runs that are planned, for calendar programs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID


def feed_of_planned_runs(deployment_id: UUID | None, now: datetime) -> str:
    return ""
