"""Deployments, the queues that carry their runs, and limits whose slots are rows owned by runs.

Beside them what flows share under a name: variables, limits on anything that they agree on, and blocks.
"""

from __future__ import annotations

from deployments.models.deployed import Calendar, Deadline, Deployment, Schedule, SkippedTime
from deployments.models.limits import ConcurrencyLimit, GlobalLimit, GlobalSlot, Slot
from deployments.models.shared import BlockDocument, BlockReference, BlockSchema, BlockType, Variable
from deployments.models.upkeep import ServiceRecord
from deployments.models.work import FormerQueue, Lease, Worker, WorkPool, WorkQueue

__all__ = [
    "BlockDocument",
    "BlockReference",
    "BlockSchema",
    "BlockType",
    "Calendar",
    "ConcurrencyLimit",
    "Deadline",
    "Deployment",
    "FormerQueue",
    "GlobalLimit",
    "GlobalSlot",
    "Lease",
    "Schedule",
    "ServiceRecord",
    "SkippedTime",
    "Slot",
    "Variable",
    "WorkPool",
    "WorkQueue",
    "Worker",
]
