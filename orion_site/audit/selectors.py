"""Entries of the audit log by filters, newest first, with keyset pages.

Each filter has an index of its own. With several filters, the entries of the narrowest one are read, some thousands at
a time: so a page may be short, and says where to continue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Q, QuerySet

from orion_site.audit.models import Entry

SEARCHED = 5_000


@dataclass(frozen=True, slots=True)
class Place:
    """The last entry of a page; in an address it is `<time>~<id>`."""

    at: datetime
    id: int

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.id}"

    @classmethod
    def read(cls, text: str) -> Place | None:
        """Return the place that a text names; None for other texts."""
        at, _, row_id = text.partition("~")
        try:
            moment = datetime.fromisoformat(at)
            # Databases cannot store a moment whose year in UTC is 0 or 10000.
            return cls(moment.astimezone(UTC), int(row_id)) if moment.tzinfo and 0 <= int(row_id) < 2**63 else None
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A search. An object is given by its id, or as kind:id."""

    object: str = ""
    kind: str = ""
    action: str = ""
    actor: str = ""
    entrance: str = ""
    result: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[tuple[str, str]]:
        """Return columns with their values, the narrowest filter first."""
        kind, _, object_id = self.object.rpartition(":")
        is_refused = self.result == Entry.Result.REFUSED
        given = (
            ("object_id", object_id),
            ("result", self.result if is_refused else ""),
            ("action", self.action),
            ("object_kind", kind or self.kind),
            ("entrance", self.entrance),
            ("actor", self.actor),
            ("result", "" if is_refused else self.result),
        )
        return [(column, value) for column, value in given if value]


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, and the place after which the next page starts; None on the last page."""

    rows: Sequence[Entry]
    after: Place | None


def entries_page(*, wanted: Wanted, after: Place | None, size: int) -> Page:
    conditions = wanted.conditions()
    rows = _within(Entry.objects.filter(**dict(conditions[:1])), wanted, after).order_by("-at", "-id")
    if len(conditions) < 2:
        found = list(rows[: size + 1])
        return Page(found[:size], _place(found[size - 1]) if len(found) > size else None)
    # Compare the other filters here: a planner might use the index of a wider one, and read all of it.
    columns, values = (list(one) for one in zip(*conditions[1:], strict=True))
    keys, place, looked_at = list[int](), None, 0
    for at, pk, *stored in rows.values_list("at", "id", *columns)[:SEARCHED].iterator(chunk_size=500):
        looked_at += 1
        if len(keys) == size:
            return Page(_in_order(keys), place)
        place = Place(at, pk)
        if stored == values:
            keys.append(pk)
    return Page(_in_order(keys), place if looked_at == SEARCHED else None)


def changes_of(*, kind: str, object_id: str, after: Place | None, size: int, matters: Callable[[Entry], bool]) -> Page:
    """Return the changes of one object that matter, newest first. A page may be short, as those of other searches."""
    rows = _within(Entry.objects.filter(object_id=object_id), Wanted(), after).order_by("-at", "-id")
    columns = ("at", "actor", "entrance", "operation", "object_kind", "before", "after", "result")
    found, place, looked_at = list[Entry](), None, 0
    for row in rows.only(*columns)[:SEARCHED].iterator(chunk_size=100):
        looked_at += 1
        if len(found) == size:
            return Page(found, place)
        place = _place(row)
        # Runs of a deployment and refused changes have entries without values.
        if row.object_kind == kind and row.result == Entry.Result.DONE and (row.before or row.after) and matters(row):
            found.append(row)
    return Page(found, place if looked_at == SEARCHED else None)


def _in_order(keys: Sequence[int]) -> list[Entry]:
    return list(Entry.objects.filter(pk__in=keys).order_by("-at", "-id")) if keys else []


def _place(row: Entry) -> Place:
    return Place(row.at, row.pk)


def _within(rows: QuerySet[Entry], wanted: Wanted, after: Place | None) -> QuerySet[Entry]:
    if wanted.since is not None:
        rows = rows.filter(at__gte=wanted.since)
    if wanted.until is not None:
        rows = rows.filter(at__lt=wanted.until)
    if after is not None:
        # The second condition bounds the index scan; SQLite does not derive it from the OR.
        rows = rows.filter(Q(at__lt=after.at) | Q(at=after.at, id__lt=after.id), at__lte=after.at)
    return rows
