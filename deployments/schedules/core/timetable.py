"""The base of all kinds of schedules: moments in order, each of them once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.zones import Named


class Timetable(ABC):
    """The moments of a schedule. `zone` is the zone in which users read them."""

    zone: tzinfo

    def after(self, moment: datetime, *, inclusive: bool = False) -> Iterator[datetime]:
        """Yield the moments after this one, in UTC, ascending, until the schedule ends.

        Raises ScheduleError for rules that cannot be followed in bounded time.
        """
        for at, _ in self.named_after(moment, inclusive=inclusive):
            yield at

    def named_after(self, moment: datetime, *, inclusive: bool = False) -> Iterator[Named]:
        """Yield the same moments as `after`, each with the local time that named it."""
        last = None
        try:
            # Use UTC: in a zone with clock changes, adding a day is not adding 24 hours, and repeated hours do not
            # compare.
            moment = moment.astimezone(UTC)
            for named in self._named_from(moment):
                at = named[0]
                if at > (last or moment) or (inclusive and last is None and at == moment):
                    yield named
                    last = at
        except ScheduleError:
            raise
        except (OverflowError, ValueError):
            # A datetime beyond the year 9999 raises one of these.
            return

    def number_between(self, begin: datetime, end: datetime) -> int | None:
        """Return the number of moments from `begin` up to `end` if it can be calculated, without naming each."""
        return None

    @abstractmethod
    def _named_from(self, moment: datetime) -> Iterator[Named]:
        """Yield times from the moment on, ascending. Implementations may start a little earlier, and repeat times."""

    @abstractmethod
    def describe(self) -> str:
        """Describe the schedule in words, such as "every 15 minutes"."""


# There may be very many times between two requested moments. After this many, restart at the next requested one.
MOST_STEPS_BETWEEN = 1_000


def named_among(timetable: Timetable, moments: Sequence[datetime]) -> set[datetime]:
    """Return those of the moments, given in ascending order, that the timetable names."""
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
