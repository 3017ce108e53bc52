"""Times to leave out, from the events of iCalendar documents."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


class Exclusions:
    """What the events of some calendars cover."""

    def __init__(self, spans: Iterable[tuple[datetime, datetime]] = ()) -> None:
        self._spans = list(spans)

    @classmethod
    def from_ics(cls, texts: Iterable[str]) -> Exclusions:
        list(texts)
        return cls()

    def covers(self, moment: datetime) -> bool:
        return any(begin <= moment < end for begin, end in self._spans)
