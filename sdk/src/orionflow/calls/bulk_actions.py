"""Calls about bulk actions: one command for all flow runs that a filter finds."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, Collection

if TYPE_CHECKING:
    from orionflow.contract.bulk_actions import BulkAction

BULK_ACTIONS: Collection[BulkAction] = Collection("/bulk_actions", lambda: contract.bulk_actions.BulkAction)


def stop_bulk_action(bulk_id: UUID | str) -> Call[None]:
    """Stop a bulk action; runs that it changed stay changed."""
    return Call("POST", f"{BULK_ACTIONS.one(bulk_id)}/stop")
