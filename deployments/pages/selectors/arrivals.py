"""How many runs came due in a queue, and how many started, hour by hour.

Nothing records how many runs waited at a time, and a retry overwrites since when its run waits. So two times of each
run are counted that never change: when it was due at first, and when it started at first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F

from orchestration.reading import unconverted
from runs.history.selectors.durations import EPOCH, BinOf, number_of_bin
from runs.models import FlowRun

HOUR, HOURS = timedelta(hours=1), 24
# A run that started in these hours may have been due before them, so long ago at most.
LOOK_BACK = timedelta(days=7)
# The most runs that are read, the newest first.
MOST_READ = 5_000


@dataclass(frozen=True, slots=True)
class Hour:
    """The runs of a queue that were due at first in this hour, and those that started at first in it."""

    since: datetime
    due: int
    started: int

    @property
    def until(self) -> datetime:
        return self.since + HOUR


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The last hours, oldest first; `is_cut` if there are more runs than were read, and hours are missing for it."""

    hours: Sequence[Hour]
    is_cut: bool


def arrivals_in_queue(*, queue_id: UUID, now: datetime) -> Arrivals:
    """Count in whole hours of UTC; the last one contains `now`. One query, by the index of the queue's runs."""
    end = EPOCH + HOUR * ((now - EPOCH) // HOUR + 1)
    start = end - HOUR * HOURS - LOOK_BACK
    newest = FlowRun.objects.filter(
        work_queue_id=queue_id, expected_start_time__gte=start, expected_start_time__lte=now
    ).order_by("-expected_start_time")
    # Numbers of hours, because converting the times of all rows takes longer than reading them.
    hours = [BinOf(F(name), start, HOUR) for name in ("expected_start_time", "start_time")]
    rows = unconverted(newest.values_list(*hours)[: MOST_READ + 1])
    is_cut = len(rows) > MOST_READ
    due = Counter(number_of_bin(found, start, HOUR) for found, _ in rows)
    started = Counter(number_of_bin(found, start, HOUR) for _, found in rows if found is not None)
    last = (end - start) // HOUR
    # Of the hour in which reading ended, some runs were not read.
    first = max(last - HOURS, min(due) + 1 if is_cut else 0)
    return Arrivals([Hour(start + HOUR * one, due[one], started[one]) for one in range(first, last)], is_cut)
