"""Bulk actions on the wire: a stored one with its progress, and the outcome of each of its runs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from orionflow.contract.wire import OWN, Answer, Details, Natural, Stored, Text1024, Wire

BulkKind = Literal["retry", "cancel", "delete"]
FromTasks = Annotated[list[Text1024], Field(max_length=100)]
BulkStatus = Literal["active", "stopped", "done"]
BulkOutcome = Literal["left", "done", "refused", "failed"]


class BulkCommand(Wire):
    """The part of a bulk action that is not its filter."""

    action: BulkKind
    id: UUID | None = None
    from_tasks: FromTasks = []


class BulkAction(Stored):
    """A command for the flow runs that a filter found when the command was given.

    `reasons` counts the runs that were not changed; `is_cut` says that the filter found more runs than these.
    """

    action: BulkKind
    status: BulkStatus
    author: str
    filter: Details = {}
    from_tasks: Annotated[list[str], OWN] = []
    is_cut: bool = False
    total: Natural
    done: Natural
    refused: Natural
    failed: Natural
    left: Natural
    reasons: dict[str, int] = {}
    problem: str = ""
    ended_at: datetime | None = None


class BulkRun(Answer):
    """A flow run of a bulk action. The run may have been deleted since."""

    run_id: UUID
    name: str
    outcome: BulkOutcome
    reason: str = ""
