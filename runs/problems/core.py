"""The life cycle of a problem, without a database: what a failure changes, and which changes become events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Change(StrEnum):
    """A change that becomes an event, once for any number of failures."""

    NEW = "new"
    REGRESSED = "regressed"
    GROWING = "growing"
    RESOLVED = "resolved"


# How long a problem counts as new or regressed; after that it is ongoing.
RECENT = timedelta(days=1)
# A problem is growing when it has this many times as many failures as at its last event.
GROWTH = 10
# Hours in the trend; older ones are dropped.
HOURS = 72
# The number of later runs that must complete to resolve a problem whose failed runs are not run again.
PASSES = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of a run: its time, the start of the attempt, and the version of the code, if known."""

    at: datetime
    started: datetime | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """The fields of a problem that its life cycle depends on."""

    status: str
    since: datetime
    failures: int = 0
    noticed: int = 0
    version: str = ""
    resolved_by: str = ""
    muted_until: datetime | None = None
    muted_until_failures: int | None = None
    muted_in_version: str | None = None


def after_failure(before: Standing, failure: Failure) -> tuple[Standing, Change | None]:
    """Count a failure, and return the new standing with the change that it causes.

    - A problem that Orion resolved is regressed if the version is another one or unknown. In the version that failed
      before nothing was fixed, so it is ongoing again.
    - A problem that a user resolved is regressed if the run started after that; earlier runs had the old code.
    - A muted problem reopens when the condition of its muting is met: it grew, another version failed, or the time has
      passed.
    """
    counted = replace(before, failures=before.failures + 1, version=failure.version or before.version)
    if before.failures == 0 and before.noticed == 0:
        return replace(counted, noticed=1), Change.NEW
    match before.status:
        case "resolved":
            return _after_resolution(before, counted, failure)
        case "muted":
            return _while_muted(before, counted, failure)
    if counted.failures >= GROWTH * max(1, before.noticed):
        return replace(counted, noticed=counted.failures), Change.GROWING
    return counted, None


def _after_resolution(before: Standing, counted: Standing, failure: Failure) -> tuple[Standing, Change | None]:
    if failure.at <= before.since or (failure.started is not None and failure.started <= before.since):
        return counted, None
    if before.resolved_by or not failure.version or failure.version != before.version:
        return _back(counted, "regressed", failure), Change.REGRESSED
    return _back(counted, "ongoing", failure), None


def _while_muted(before: Standing, counted: Standing, failure: Failure) -> tuple[Standing, Change | None]:
    if before.muted_in_version is not None and failure.version and failure.version != before.muted_in_version:
        return _back(counted, "regressed", failure), Change.REGRESSED
    has_grown = before.muted_until_failures is not None and counted.failures >= before.muted_until_failures
    is_over = before.muted_until is not None and failure.at >= before.muted_until
    if has_grown or is_over:
        return _back(counted, "ongoing", failure), Change.GROWING
    return counted, None


def _back(counted: Standing, status: str, failure: Failure) -> Standing:
    """Reopen the problem: clear its muting and its resolution."""
    return replace(
        counted,
        status=status,
        since=failure.at,
        noticed=counted.failures,
        resolved_by="",
        muted_until=None,
        muted_until_failures=None,
        muted_in_version=None,
    )


def with_failures(trend: Mapping[str, int], moments: Iterable[datetime]) -> dict[str, int]:
    """Add failures to a trend, and keep only the newest hours."""
    counted = dict(trend)
    for moment in moments:
        hour = moment.strftime("%Y-%m-%dT%H")
        counted[hour] = counted.get(hour, 0) + 1
    return dict(sorted(counted.items())[-HOURS:])
