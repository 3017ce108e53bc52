"""Removal of old days of the audit log: whole days, each in one transaction with the entry that records it.

The row of a day remains with its count and its last hash, so that the chain can still be verified.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestration.acts import Note
from orchestration.database_clock import time_before
from orion_site.audit.acting import RecordedAct, Who
from orion_site.audit.chain import REMOVAL
from orion_site.audit.models import Day, Entry


def remove_days(*, older_than: timedelta, now: datetime) -> int:
    """Remove days that ended longer ago than `older_than`, oldest first, except the last one.

    Return the number of entries.
    """
    last = Day.objects.last()
    if last is None:
        return 0
    old = Day.objects.filter(day__lt=time_before(now, older_than).date(), removed=None).exclude(pk=last.pk)
    return sum(_remove(day, now) for day in list(old))


def _remove(day: Day, now: datetime) -> int:
    act = RecordedAct(Who(actor="retention", entrance=Entry.Entrance.SERVER), "audit.remove", REMOVAL)
    with act.transaction():
        # Of several tickers, only one updates the row.
        if not Day.objects.filter(pk=day.pk, removed=None).update(removed=now):
            return 0
        entries = Entry.objects.filter(day=day.day)
        number = int(entries._raw_delete(entries.db) or 0)
        removed = {"entries": day.entries, "head": day.head}
        act.note(Note("audit-log", day.day.isoformat(), name=day.day.isoformat(), before=removed))
        return number
