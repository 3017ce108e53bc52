"""Calls about backfills: runs of a deployment for times that have passed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, Collection

if TYPE_CHECKING:
    from orionflow.contract.backfills import Backfill, BackfillPlan

BACKFILLS: Collection[Backfill] = Collection("/backfills", lambda: contract.backfills.Backfill)


def preview_backfill(body: Mapping[str, Any]) -> Call[BackfillPlan]:
    """Describe what a backfill would do, without creating it."""
    return Call("POST", f"{BACKFILLS.path}/preview", dict(body), read=lambda: contract.backfills.BackfillPlan)


def pause_backfill(backfill_id: UUID | str) -> Call[None]:
    """Create no further runs of a backfill until it is resumed."""
    return Call("POST", f"{BACKFILLS.one(backfill_id)}/pause")


def resume_backfill(backfill_id: UUID | str) -> Call[None]:
    """Create runs of a backfill again."""
    return Call("POST", f"{BACKFILLS.one(backfill_id)}/resume")


def cancel_backfill(backfill_id: UUID | str) -> Call[None]:
    """Create no further runs of a backfill, and cancel those that have not ended."""
    return Call("POST", f"{BACKFILLS.one(backfill_id)}/cancel")
