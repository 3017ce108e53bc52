"""Problems on the wire: failures of one cause, groups of waiting runs, and the decisions of users about them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from orionflow.contract.wire import Answer, Moment, Natural, Stored, StrictWire, Text255, Wire

ProblemStatus = Literal["new", "ongoing", "regressed", "muted", "resolved"]


class FailuresOfHour(Answer):
    """The number of failures by a problem in one hour."""

    hour: datetime
    failures: Natural


class Problem(Stored):
    """Failures of flow runs by one cause.

    `message` has no parts that differ from run to run; `example` is the message of the newest failure. `runs` counts
    the existing runs, up to 10,000, or up to 1,000 in lists, and `failed` those of them that are failed now; `failures`
    counts all failures since the first. Flows and versions are those of the newest 200 failures.
    """

    status: ProblemStatus
    title: str
    type: str
    place: str = ""
    message: str = ""
    example: str = ""
    since: datetime
    first_seen: datetime
    last_seen: datetime
    failures: Natural
    runs: Natural
    failed: Natural
    flows: list[str] = []
    versions: list[str] = []
    trend: list[FailuresOfHour] = []
    newest_run_id: UUID | None = None
    assignee: str = ""
    muted_until: datetime | None = None
    muted_until_failures: int | None = None
    muted_in_version: str | None = None
    resolution: str = ""
    resolved_by: str = ""


class WaitingRuns(Answer):
    """Due runs that wait for the same reason, and what would help."""

    reason: str
    fix: str = ""
    runs: Natural
    since: datetime | None = None
    work_queue_name: str | None = None
    flows: list[str] = []
    oldest_run_id: UUID


class ProblemRetry(Wire):
    """A retry. Sent again with the same `id`, it is done once."""

    id: UUID | None = None


class ProblemRetryPreview(Answer):
    """The answer of the rules: how many of the failed runs can be retried, and why the others cannot."""

    can: Natural
    cannot: Natural
    reasons: dict[str, int] = {}
    is_cut: bool = False


class ProblemMute(StrictWire):
    """Conditions that end the muting; the first one to be met counts. Without any, the problem stays muted."""

    until: Moment | None = None
    grows_by: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    other_version: bool = False


class ProblemAssignment(StrictWire):
    """The user to whom a problem is assigned; an empty name removes the assignment."""

    assignee: Text255 = ""
