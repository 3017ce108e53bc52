"""Events without a database: the objects among their resources, and counts in periods with fixed limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from orionflow.contract.kinds import RESOURCE_ID

# The same origin as in Prefect's server, so that both have the same periods. A Monday, so that weeks start on Monday.
_ORIGIN = datetime(2024, 4, 1, tzinfo=UTC)
MOST_SPANS = 1000
LENGTHS = {
    "week": timedelta(weeks=1),
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
    "second": timedelta(seconds=1),
}


# Resources that are objects with limited visibility, and their tables.
_TABLES = {
    "prefect.flow-run": "runs_flowrun",
    "prefect.task-run": "runs_taskrun",
    "prefect.deployment": "deployments_deployment",
    "prefect.work-queue": "deployments_workqueue",
    "prefect.work-pool": "deployments_workpool",
}


def objects_among(resources: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, UUID]]:
    """Yield the tables and ids of the runs, deployments, queues and pools among the resources of an event."""
    for labels in resources:
        kind, _, name = labels[RESOURCE_ID].rpartition(".")
        if (table := _TABLES.get(kind)) is None:
            continue
        try:
            yield table, UUID(name)
        except ValueError:
            continue


class TooManySpans(ValueError):
    """There would be too many periods. The message says how many."""


@dataclass(frozen=True, slots=True)
class Span:
    begin: datetime
    end: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Spans:
    """The numbers of periods of one length, counted from the origin."""

    first: int
    last: int
    length: timedelta

    @classmethod
    def between(cls, begin: datetime, end: datetime, length: timedelta) -> Spans:
        """Return the periods between `begin` and `end`. Raises TooManySpans."""
        first = (begin - _ORIGIN) // length
        # A period that would start at `end` is left out; events at exactly that moment count in the last period.
        last = max(first, -((_ORIGIN - end) // length) - 1)
        if last - first >= MOST_SPANS:
            raise TooManySpans(
                f"That would be {last - first + 1} spans of time, and {MOST_SPANS} are the most. "
                "Ask for longer ones, or for a shorter time."
            )
        return cls(first, last, length)

    def counted(self, times: Iterable[tuple[datetime, int]]) -> list[Span]:
        """Return the periods, including empty ones, with the number of events in each."""
        found = [0] * (self.last - self.first + 1)
        for moment, count in times:
            found[min(max((moment - _ORIGIN) // self.length - self.first, 0), self.last - self.first)] += count
        return [self._span(self.first + position, count) for position, count in enumerate(found)]

    def _span(self, index: int, count: int) -> Span:
        begin = _ORIGIN + index * self.length
        return Span(begin, begin + self.length - timedelta(microseconds=1), count)


def unit_within(length: timedelta) -> str | None:
    """Return the longest unit of which the length is a multiple, so that counts by this unit suffice; None for none."""
    return next((unit for unit, one in LENGTHS.items() if unit != "week" and not length % one), None)
