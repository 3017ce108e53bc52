"""The life of a problem, without a database: what a failure makes of it, and which changes somebody is notified of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Change(StrEnum):
    """A change that is worth an event: once for each change, whatever the number of failures."""

    NEW = "new"
    REGRESSED = "regressed"
    GROWING = "growing"
    RESOLVED = "resolved"


# A problem is new, or has come back, for a day; then it is one of those that are known.
RECENT = timedelta(days=1)
# It grows when it has so many times as many failures as at its last event.
GROWTH = 10
# The trend keeps so many hours.
HOURS = 72
# So many later runs of what failed must pass, where the failed runs themselves are not run again.
PASSES = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of a run: when, when the attempt began, and by which version of the code, if that is known."""

    at: datetime
    started: datetime | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A problem as its life goes by it."""

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
    """Count one failure more, and say what that changes.

    - Resolved by itself: back as regressed where the version is another one or unknown. In the version that failed
      before nothing was mended, so it is ongoing as it was.
    - Resolved by somebody: back as regressed by any run that began after that; one that began before ran old code.
    - Muted until it grows, until another version, until a day: back when that has come.
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
    """It concerns somebody again: nothing of its muting or its resolution counts any more."""
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
    """Add failures to a trend, and drop the hours before the newest ones."""
    counted = dict(trend)
    for moment in moments:
        hour = moment.strftime("%Y-%m-%dT%H")
        counted[hour] = counted.get(hour, 0) + 1
    return dict(sorted(counted.items())[-HOURS:])
