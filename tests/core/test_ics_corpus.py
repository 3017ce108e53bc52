"""Calendars as programs export them, read by us and by an independent reader (recurring-ical-events): the same times.

The documents are made from structures: which program writes them, how it names and defines zones, what kind of event
it is, how its rule ends, and what was moved, deleted, called off or written twice. The other reader gets the same
structure with zones spelled plainly, because how programs name zones is ours to know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import recurring_ical_events
from dateutil.rrule import rrulestr
from hypothesis import assume, given
from hypothesis import strategies as st
from icalendar import Calendar

from deployments.schedules.core import read_definition
from deployments.schedules.core.zones import first_moment, moments_of
from tests.rounds import examples

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)
PLAIN = "plain"
# How programs spell the zones of two places, one east and one west of Greenwich.
SPELLINGS = {
    "google": {"Europe/Berlin": "Europe/Berlin", "America/New_York": "America/New_York"},
    "apple": {"Europe/Berlin": "Europe/Berlin", "America/New_York": "America/New_York"},
    "outlook": {"Europe/Berlin": "W. Europe Standard Time", "America/New_York": "Eastern Standard Time"},
    "exchange": {"Europe/Berlin": "Customized Time Zone", "America/New_York": "tzone://Microsoft/Custom"},
    "nextcloud": {"Europe/Berlin": "europe/berlin", "America/New_York": "America/New York"},
    "evolution": {
        "Europe/Berlin": "/freeassociation.sourceforge.net/Europe/Berlin",
        "America/New_York": "/softwarestudio.org/Olson_20011030_5/America/New_York",
    },
}
OFFSETS = {"Europe/Berlin": ("+0100", "+0200"), "America/New_York": ("-0500", "-0400")}
CHANGES = {
    "Europe/Berlin": (("03", "-1SU", "020000"), ("10", "-1SU", "030000")),
    "America/New_York": (("03", "2SU", "020000"), ("11", "1SU", "020000")),
}
STARTS = {"Europe/Berlin": ("0325", "1028"), "America/New_York": ("0308", "1101")}


def defined(zone: str, program: str) -> list[str]:
    """The VTIMEZONE that a program writes: from 1601, from 1970, or with less than it should have."""
    if program == PLAIN:
        return []
    name, year = SPELLINGS[program][zone], "1601" if program in {"outlook", "exchange"} else "1970"
    standard, daylight = OFFSETS[zone]
    parts = []
    for kind, start, (month, day, at), before, after in zip(
        ("DAYLIGHT", "STANDARD"), STARTS[zone], CHANGES[zone], (standard, daylight), (daylight, standard), strict=True
    ):
        from_line = [] if program == "nextcloud" else [f"TZOFFSETFROM:{before}"]
        parts += [f"BEGIN:{kind}", *from_line, f"TZOFFSETTO:{after}", f"DTSTART:{year}{start}T{at}"]
        parts += [f"RRULE:FREQ=YEARLY;BYMONTH={month};BYDAY={day}", f"END:{kind}"]
    extra = ["BEGIN:VTIMEZONE", "TZID:Nobody needs it", "END:VTIMEZONE"] if program == "exchange" else []
    return ["BEGIN:VTIMEZONE", f"TZID:{name}", *parts, "END:VTIMEZONE", *extra]


@dataclass(frozen=True)
class Series:
    """An event that recurs, with what became of some of its dates (by their place among them)."""

    kind: str  # zoned, utc, floating or day
    zone: str
    start: datetime
    rule: str
    until: str | None = None
    deleted: tuple[int, ...] = ()
    deleted_as: str = "same"
    moved: tuple[int, ...] = ()
    moved_as: str = "same"
    moved_by: timedelta = timedelta(hours=3)
    cancelled: tuple[int, ...] = ()
    copies_rules: bool = False
    older: datetime | None = None
    further: tuple[timedelta, ...] = ()
    folded: bool = False

    def dates(self) -> list[datetime]:
        """Local times, as if the rule had no end of its own."""
        found = rrulestr(self.rule, dtstart=self.start)
        until = datetime(2027, 3, 1)  # noqa: DTZ001
        return list(takewhile(lambda at: at < until, found))

    def all_times(self) -> list[datetime]:
        """Whatever the event and its changed dates may come to."""
        dates = self.dates()
        return [*dates, *(at + self.moved_by for at in dates), *(self.start + one for one in self.further)]

    def text(self, program: str) -> str:
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:-//{program}//EN", "CALSCALE:GREGORIAN"]
        if self.kind in {"zoned", "utc"}:
            lines += defined(self.zone, program)
        if self.older is not None:
            before = replace(self, start=self.older, older=None, deleted=(), moved=(), cancelled=(), further=())
            lines += before.events(program, sequence=0)
        lines += self.events(program, sequence=1)
        text = "\r\n".join([*lines, "END:VCALENDAR", ""])
        return "\r\n".join(_folded(line) for line in text.split("\r\n")) if self.folded else text

    def events(self, program: str, *, sequence: int) -> list[str]:
        dates = self.dates()
        rules = [f"RRULE:{self.rule}" + (f";UNTIL={self._until(dates)}" if self.until else "")]
        rules += [self._date("RDATE", self.start + one, "same", program) for one in self.further]
        gone = [self._date("EXDATE", dates[n], self.deleted_as, program) for n in self.deleted if n < len(dates)]
        own = self._event([self._date("DTSTART", self.start, "same", program), *rules, *gone], sequence)
        changed = [
            self._event(
                [
                    self._date("DTSTART", dates[n] + self.moved_by, "same", program),
                    self._date("RECURRENCE-ID", dates[n], self.moved_as, program),
                    *(rules[:1] if self.copies_rules else []),
                    *(["STATUS:CANCELLED"] if n in self.cancelled else []),
                ],
                sequence,
            )
            for n in sorted({*self.moved, *self.cancelled})
            if n < len(dates)
        ]
        return [line for one in (own, *changed) for line in one]

    def _event(self, lines: list[str], sequence: int) -> list[str]:
        head = ["BEGIN:VEVENT", "UID:series@example.org", "DTSTAMP:20260101T000000Z", f"SEQUENCE:{sequence}"]
        return [*head, "SUMMARY:Load", *lines, "END:VEVENT"]

    def _date(self, name: str, wall: datetime, text: str, program: str) -> str:
        # With the other reader, one date in a zone makes moments of all the days of an event.
        is_same = text == "same" or (text == "local midnight" and program == PLAIN)
        kind = self.kind if is_same else text
        match kind:
            case "day":
                return f"{name};VALUE=DATE:{wall:%Y%m%d}"
            case "floating":
                return f"{name}:{wall:%Y%m%dT%H%M%S}"
            case "midnight":
                return f"{name}:{wall:%Y%m%d}T000000Z"
            case "local midnight":
                return f"{name};TZID={self.zone}:{wall:%Y%m%d}T000000"
            case "zoned":
                zone = self.zone if program == PLAIN else SPELLINGS[program][self.zone]
                value = f'"{zone}"' if ":" in zone or "," in zone else zone
                return f"{name};TZID={value}:{wall:%Y%m%dT%H%M%S}"
        at = first_moment(wall, self.own_zone())
        return f"{name}:{at:%Y%m%dT%H%M%SZ}"

    def own_zone(self):
        return UTC if self.kind == "utc" else ZoneInfo(self.zone)

    def _until(self, dates: list[datetime]) -> str:
        last = dates[len(dates) // 2]
        match self.until:
            case "date":
                return f"{last:%Y%m%d}"
            case "midnight":
                return f"{last:%Y%m%d}T000000Z"
            case "floating":
                return f"{last:%Y%m%dT%H%M%S}"
        return f"{first_moment(last, self.own_zone()):%Y%m%dT%H%M%SZ}"


def _folded(line: str) -> str:
    return "\r\n ".join(line[place : place + 40] for place in range(0, max(len(line), 1), 40))


def ours(text: str, zone: str) -> list[datetime]:
    timetable = read_definition({"ics": text, "timezone": zone})
    return list(takewhile(lambda at: at < END, timetable.after(BEGIN, inclusive=True)))


def theirs(text: str, zone: str) -> list[datetime]:
    found = recurring_ical_events.of(Calendar.from_ical(text)).between(
        BEGIN - timedelta(days=3), END + timedelta(days=3)
    )
    starts = {_moment(one["DTSTART"].dt, zone) for one in found if str(one.get("STATUS", "")) != "CANCELLED"}
    return sorted(at for at in starts if BEGIN <= at < END)


def _moment(day: date, zone: str) -> datetime:
    """Whole days and times without a zone are those of the schedule."""
    if not isinstance(day, datetime):
        day = datetime(day.year, day.month, day.day)  # noqa: DTZ001
    return day.astimezone(UTC) if day.tzinfo else first_moment(day, ZoneInfo(zone))


RULES = [
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=3",
    "FREQ=DAILY;COUNT=9",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=MO",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-2;COUNT=11",
    "FREQ=MONTHLY;BYMONTHDAY=1,15,-1",
    "FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU",
]
# An end without an offset is a local time to us, as floating ones are everywhere, and one of UTC to the other reader.
UNTILS = {"zoned": ["utc"], "utc": ["utc", "floating"], "floating": ["floating"], "day": ["date", "midnight"]}
WAYS_TO_DELETE = {
    "zoned": ["same", "day", "floating", "utc"],
    "utc": ["same", "day", "floating"],
    "floating": ["same", "day"],
    "day": ["same", "midnight", "local midnight"],
}
places = st.lists(st.integers(0, 8), max_size=3, unique=True).map(tuple)


@st.composite
def all_series(draw) -> Series:
    kind = draw(st.sampled_from(["zoned", "zoned", "utc", "floating", "day"]))
    rule = draw(st.sampled_from(RULES))
    until = draw(st.sampled_from([None, *UNTILS[kind]])) if "COUNT" not in rule else None
    is_day = kind == "day"
    at = draw(st.sampled_from([0, 1, 2, 6, 21, 23]))
    start = datetime(2026, draw(st.integers(1, 3)), draw(st.integers(1, 28)), 0 if is_day else at, 0 if is_day else 30)  # noqa: DTZ001
    series = Series(
        kind=kind,
        zone=draw(st.sampled_from(["Europe/Berlin", "America/New_York"])),
        start=start,
        rule=rule,
        until=until,
        deleted=draw(places),
        deleted_as=draw(st.sampled_from(WAYS_TO_DELETE[kind])),
        moved=draw(places),
        moved_as=draw(
            st.sampled_from([one for one in WAYS_TO_DELETE[kind] if one not in {"day", "midnight", "local midnight"}])
        ),
        moved_by=timedelta(days=draw(st.integers(1, 2))) if is_day else timedelta(hours=draw(st.integers(1, 30))),
        cancelled=draw(places),
        copies_rules=draw(st.booleans()),
        further=draw(st.lists(st.integers(1, 200).map(lambda days: timedelta(days=days)), max_size=2).map(tuple)),
        older=draw(
            st.sampled_from([None, start - timedelta(days=7), start + timedelta(days=2, hours=0 if is_day else 1)])
        ),
        folded=draw(st.booleans()),
    )
    # Where clocks jump over a time, we run when they have jumped, and the other reader an hour later than named.
    assume(is_day or all(moments_of(at, ZoneInfo(series.zone)) for at in series.all_times()))
    # A date that was moved and then deleted by its day is deleted to us, and moved to the other reader.
    assume(series.deleted_as == "same" or not {*series.deleted} & {*series.moved, *series.cancelled})
    # A rule that leaves out its own beginning means different things to different readers.
    assume(series.dates() and series.dates()[0] == series.start)
    return series


@given(series=all_series(), program=st.sampled_from(sorted(SPELLINGS)))
@examples(4, 800)
def test_both_readers_find_the_same_times(series, program):
    text = series.text(program)
    assert ours(text, series.zone) == theirs(series.text(PLAIN), series.zone), text
