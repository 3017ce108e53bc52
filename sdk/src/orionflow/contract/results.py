"""Stored results on the wire: references to values of runs, never the values."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from orionflow.contract.wire import Answer, Moment, Wire

MOST_RESULTS = 200
RunIds = Annotated[list[UUID], Field(max_length=MOST_RESULTS)]


class ResultListing(Wire):
    """Criteria for results, of the newest runs first: of some runs, in one location, or expired by a moment."""

    flow_run_ids: RunIds | None = None
    task_run_ids: RunIds | None = None
    storage: Annotated[str, Field(max_length=4096)] | None = None
    expired_before: Moment | None = None
    # The `before` of the previous page.
    before: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_RESULTS)] = MOST_RESULTS


class StoredResult(Answer):
    """Where the value of a run is stored, as the run reported it. `unstored` is the reason if it may not be stored."""

    run: Literal["flow-run", "task-run"]
    run_id: UUID
    run_name: str | None = None
    flow_run_id: UUID | None = None
    stored: datetime | None = None
    storage: str | None = None
    storage_key: str
    serializer_type: str | None = None
    size: int | None = None
    expiration: datetime | None = None
    unstored: str | None = None


class ResultPage(Answer):
    """One page of results; `before` is the start of the next page, and null on the last one.

    `archives` says whether this server moves runs to an archive, whose results are not listed.
    """

    results: list[StoredResult]
    before: UUID | None = None
    archives: bool = False
