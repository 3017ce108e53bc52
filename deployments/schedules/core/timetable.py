"""Timetable: the base of all kinds of schedules. It gives moments in order, each once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.zones import Named


class Timetable(ABC):
    """The moments of a schedule. `zone` is the one in which people read them."""

    zone: tzinfo

    def after(self, moment: datetime, *, inclusive: bool = False) -> Iterator[datetime]:
        """The moments after this one, in UTC, ascending; the iterator ends when the schedule does. Raises ScheduleError
        for rules that nobody can follow in bounded time."""
        for at, _ in self.named_after(moment, inclusive=inclusive):
            yield at

    def named_after(self, moment: datetime, *, inclusive: bool = False) -> Iterator[Named]:
        """Iterate as `after` does, and give with each moment the local time that named it."""
        last = None
        try:
            # In a zone with changing clocks a day added to a moment is no day, and a repeated hour equals nothing.
            moment = moment.astimezone(UTC)
            for named in self._named_from(moment):
                at = named[0]
                if at > (last or moment) or (inclusive and last is None and at == moment):
                    yield named
                    last = at
        except ScheduleError:
            raise
        except (OverflowError, ValueError):
            # A datetime goes no farther than the year 9999, and raises one or the other there.
            return

    @abstractmethod
    def _named_from(self, moment: datetime) -> Iterator[Named]:
        """Iterate from the moment on, ascending; an implementation may start a little earlier, and repeat moments."""

    @abstractmethod
    def describe(self) -> str:
        """Describe the schedule in words, such as "every 15 minutes"."""


# Between two moments that are asked about there may be very many others. After so many, start again at the next one.
MOST_STEPS_BETWEEN = 1_000


def named_among(timetable: Timetable, moments: Sequence[datetime]) -> set[datetime]:
    """Those of some moments, given in ascending order, that the timetable names."""
    named: set[datetime] = set()
    times: Iterator[datetime] = iter(())
    at: datetime | None = None
    steps = MOST_STEPS_BETWEEN
    for moment in moments:
        while at is not None and at < moment and steps < MOST_STEPS_BETWEEN:
            at, steps = next(times, None), steps + 1
        if steps >= MOST_STEPS_BETWEEN:
            times = timetable.after(moment, inclusive=True)
            at, steps = next(times, None), 0
        if at == moment:
            named.add(moment)
    return named
