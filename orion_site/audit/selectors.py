"""Entries of the audit log by what they are asked for, newest first, by keyset.

Each filter has an index of its own. Where there are several, the entries of the narrowest one are looked through, some
thousands at a time: a page may then be short, and say where to look on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from orion_site.audit.models import Entry

SEARCHED = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended; in an address `<time>~<id>`."""

    at: datetime
    id: int

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.id}"

    @classmethod
    def read(cls, text: str) -> Place | None:
        """The place that a text names; None where it names none."""
        at, _, row_id = text.partition("~")
        try:
            moment = datetime.fromisoformat(at)
            return cls(moment, int(row_id)) if moment.tzinfo and 0 <= int(row_id) < 2**63 else None
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A search. An object is named by its id, or as kind:id."""

    object: str = ""
    kind: str = ""
    action: str = ""
    actor: str = ""
    entrance: str = ""
    result: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[Q]:
        """The narrowest first."""
        kind, _, object_id = self.object.rpartition(":")
        kind = kind or self.kind
        given = (
            ("object_id", object_id),
            ("result", self.result if self.result == Entry.Result.REFUSED else ""),
            ("action", self.action),
            ("object_kind", kind),
            ("entrance", self.entrance),
            ("actor", self.actor),
            ("result", self.result if self.result != Entry.Result.REFUSED else ""),
        )
        return [Q(**{column: value}) for column, value in given if value]


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, and the place after which the next ones are; None: there are none."""

    rows: Sequence[Entry]
    after: Place | None


def entries_page(*, wanted: Wanted, after: Place | None, size: int) -> Page:
    first, *others = wanted.conditions() or [Q()]
    rows = _within(Entry.objects.filter(first), wanted, after).order_by("-at", "-id")
    if not others:
        return _page(list(rows[: size + 1]), size)
    looked_at = rows[:SEARCHED]
    found = Entry.objects.filter(*others, pk__in=looked_at.values("pk")).order_by("-at", "-id")
    page = _page(list(found[: size + 1]), size)
    if page.after is not None:
        return page
    # What was looked at was not all, if there is a last one among so many.
    last = next(iter(rows.values_list("at", "id")[SEARCHED - 1 : SEARCHED]), None)
    return Page(page.rows, Place(*last) if last else None)


def _page(rows: list[Entry], size: int) -> Page:
    more = len(rows) > size
    return Page(rows[:size], Place(rows[size - 1].at, rows[size - 1].pk) if more else None)


def _within(rows: QuerySet[Entry], wanted: Wanted, after: Place | None) -> QuerySet[Entry]:
    if wanted.since is not None:
        rows = rows.filter(at__gte=wanted.since)
    if wanted.until is not None:
        rows = rows.filter(at__lt=wanted.until)
    if after is not None:
        # The second condition bounds the index scan; SQLite does not see that in the OR.
        rows = rows.filter(Q(at__lt=after.at) | Q(at=after.at, id__lt=after.id), at__lte=after.at)
    return rows
