"""Calls about stored results: their places, sizes and expirations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, body

if TYPE_CHECKING:
    from orionflow.contract.results import ResultPage


def read_results(
    *,
    flow_run_ids: Sequence[UUID] | None = None,
    task_run_ids: Sequence[UUID] | None = None,
    storage: str | None = None,
    expired_before: datetime | None = None,
    before: UUID | None = None,
    limit: int | None = None,
) -> Call[ResultPage]:
    """List references to stored results, of the newest runs first; `before` continues after a previous page."""
    sent = body(
        contract.results.ResultListing,
        flow_run_ids=flow_run_ids,
        task_run_ids=task_run_ids,
        storage=storage,
        expired_before=expired_before,
        before=before,
        limit=limit,
    )
    return Call("POST", "/results/filter", sent, read=lambda: contract.results.ResultPage)
