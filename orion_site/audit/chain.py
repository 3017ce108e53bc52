"""The chain of entries: each contains a hash of itself and the entry before; a day's first entry continues the day
before.

If entries are changed, removed or swapped, the chain breaks at that place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date
from typing import Any

from django.db import connection
from django.db.models import Max

from orchestration.compiled import Compiled
from orchestration.database_clock import current_time
from orion_site.audit.models import Day, Entry

FIRST = "0" * 64
# The operation with which retention removes a day; the object of its entry is that day.
REMOVAL = "RemoveDayOfAudit"
# An arbitrary number, which must not change.
_ORDER_LOCK = 0x0A0D17
HASHED = (
    *("day", "number", "actor", "key_id", "address", "request_id", "entrance", "action", "operation"),
    *("object_kind", "object_id", "object_name", "before", "after", "result", "reason", "previous"),
)


def hash_of(entry: Entry) -> str:
    """Return the SHA-256 of the entry as JSON with sorted names."""
    fields: dict[str, Any] = {name: getattr(entry, name) for name in HASHED}
    fields |= {"day": entry.day.isoformat(), "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds")}
    return hashlib.sha256(json.dumps(fields, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


_last_day = Compiled(lambda: Day.objects.order_by("-day")[:1])


def append(entries: Sequence[Entry]) -> None:
    """Add entries after the last one, at the end of a transaction."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # A transaction that waits here then reads what the previous one committed.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ORDER_LOCK])
    last, now = next(iter(_last_day()), None), current_time()
    # A day that another server has ended stays so, even if this server's clock is behind.
    day = max(now.date(), last.day) if last else now.date()
    is_new = last is None or last.day < day
    number, head = (0 if is_new or last is None else last.entries), (last.head if last else FIRST)
    for entry in entries:
        number += 1
        entry.at, entry.day, entry.number, entry.previous = now, day, number, head
        head = entry.hash = hash_of(entry)
    Entry.objects.bulk_create(entries)
    if is_new:
        Day.objects.create(day=day, entries=number, head=head)
    else:
        Day.objects.filter(day=day).update(entries=number, head=head)


# --- verification ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """How far a verification has come: an entry, and its hash."""

    day: date
    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The first problem, and where it is."""

    day: date
    number: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome of a step of a verification, and where the next one starts; None if it is finished."""

    entries: int
    reached: Place | None
    finding: Finding | None
    go_on: Place | None


def verify(after: Place | None, *, most: int) -> Verified:
    """Verify the chain for at most `most` entries, day by day."""
    checked, place = 0, after
    for day in Day.objects.filter(day__gte=after.day) if after else Day.objects.all():
        if day.removed is not None:
            if finding := _removed_wrongly(day):
                return Verified(checked, place, finding, None)
            # Its entries were removed, and its hash stands for them.
            place = Place(day.day, day.entries, day.head)
            continue
        is_begun = place is not None and place.day == day.day
        number, head = (place.number if is_begun and place else 0), (place.hash if place else FIRST)
        # Leave out entries written after the day was read, which its count does not include.
        rows = Entry.objects.filter(day=day.day, number__gt=number, number__lte=day.entries).order_by("number")
        for entry in rows[: most - checked + 1].iterator(chunk_size=2_000):
            if checked == most:
                return Verified(checked, place, None, place)
            if problem := _problem_of(entry, number + 1, head):
                return Verified(checked, place, Finding(day.day, number + 1, problem), None)
            number, head, checked = number + 1, entry.hash, checked + 1
            place = Place(day.day, number, head)
        if number != day.entries:
            return Verified(checked, place, Finding(day.day, number + 1, f"missing: the day has {day.entries}"), None)
        if head != day.head:
            return Verified(checked, place, Finding(day.day, number, "the day ended with another entry"), None)
    return Verified(checked, place, _uncounted(), None)


def _problem_of(entry: Entry, number: int, head: str) -> str:
    if entry.number != number:
        return f"missing: the next entry has the number {entry.number}"
    if entry.previous != head:
        return "it does not follow the entry before: one was removed, put in or swapped"
    if hash_of(entry) != entry.hash:
        return "its content is not what was written"
    return ""


def _removed_wrongly(day: Day) -> Finding | None:
    if Entry.objects.filter(day=day.day).exists():
        return Finding(day.day, 1, "the day is marked as removed, and has entries")
    assert day.removed is not None
    removal = Entry.objects.filter(operation=REMOVAL, object_id=day.day.isoformat(), before__contains=day.head)
    # The day of that entry may have been removed in the meantime.
    if removal.exists() or Day.objects.filter(day=day.removed.date(), removed__isnull=False).exists():
        return None
    return Finding(day.day, 1, "the day is marked as removed, and no entry says so")


def _uncounted() -> Finding | None:
    """Find entries beyond their day's count. They are read before the counts, which may grow in between."""
    last = {one["day"]: one["last"] for one in Entry.objects.order_by().values("day").annotate(last=Max("number"))}
    counts = dict(Day.objects.values_list("day", "entries"))
    for day, number in sorted(last.items()):
        if number > counts.get(day, 0):
            return Finding(day, counts.get(day, 0) + 1, "put in: the day's count does not know it")
    return None
