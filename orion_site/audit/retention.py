"""Removing old days of the audit log: whole days only, each in one transaction with the entry that says so.

The row of a day stays with its count and its last hash, so that the chain can still be followed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestration.acts import Note
from orion_site.audit.acting import RecordedAct, Who
from orion_site.audit.chain import REMOVAL
from orion_site.audit.models import Day, Entry


def remove_days(*, older_than: timedelta, now: datetime) -> int:
    """Remove the days that ended before then, oldest first, but for the last one; how many entries that were."""
    last = Day.objects.last()
    if last is None:
        return 0
    old = Day.objects.filter(day__lt=(now - older_than).date(), removed=None).exclude(pk=last.pk)
    return sum(_remove(day, now) for day in list(old))


def _remove(day: Day, now: datetime) -> int:
    act = RecordedAct(Who(actor="retention", entrance=Entry.Entrance.SERVER), "audit.remove", REMOVAL)
    with act.transaction():
        # Of several tickers one finds it.
        if not Day.objects.filter(pk=day.pk, removed=None).update(removed=now):
            return 0
        entries = Entry.objects.filter(day=day.day)
        number = int(entries._raw_delete(entries.db) or 0)
        said = {"entries": day.entries, "head": day.head}
        act.note(Note("audit-log", day.day.isoformat(), name=day.day.isoformat(), before=said))
        return number
