"""All models of this app, for Django. Each subject defines its own in its `models` module."""

from __future__ import annotations

from deployments.backfills.models import Backfill, BackfillTime
from deployments.blocks.models import BlockDocument, BlockReference, BlockSchema, BlockType, Variable
from deployments.definitions.models import Deployment
from deployments.dispatch.models import Lease, Worker
from deployments.limits.models import ConcurrencyLimit, GlobalLimit, GlobalSlot, Slot
from deployments.schedules.models import Calendar, Deadline, Schedule, SkippedTime
from deployments.upkeep.models import ChangedSetting, ServiceRecord
from deployments.work.models import FormerQueue, WorkPool, WorkQueue

__all__ = [
    "Backfill",
    "BackfillTime",
    "BlockDocument",
    "BlockReference",
    "BlockSchema",
    "BlockType",
    "Calendar",
    "ChangedSetting",
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
