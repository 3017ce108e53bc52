"""Pages by keyset: the next page begins after the last row of this one, so the thousandth is as quick as the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db.models import Model, Q, QuerySet

from orchestration.reading import reader

M = TypeVar("M", bound=Model)

# Counting further than this costs more than the number is worth.
COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """The place of one row in an order by time and id; in an address it reads `<time>~<id>`."""

    at: datetime
    id: UUID

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.id}"

    @classmethod
    def below_all_at(cls, moment: datetime) -> Cursor:
        """The place after every row of that moment, newest first."""
        return cls(moment, UUID(int=0))

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """The cursor that `text` names; None when it names none: an old link shows the first page."""
        at, _, row_id = text.partition("~")
        try:
            moment = datetime.fromisoformat(at)
            # In UTC, because databases hold no moment whose year there is 0 or 10000.
            return cls(moment.astimezone(UTC), UUID(row_id)) if moment.tzinfo else None
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some rows, and where the next ones begin (None: these are the last)."""

    rows: Sequence[M]
    after: Cursor | None


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows that stops counting at a cap."""

    number: int
    capped: bool = False

    def __str__(self) -> str:
        digits = f"{self.number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
        return digits + "+" if self.capped else digits


def page_of(rows: QuerySet[M], *, by: str, after: Cursor | None, size: int, newest_first: bool = True) -> Page[M]:
    """`size` rows in the order of the column `by` and then the id, beginning after the cursor."""
    chosen = in_order(rows, by=by, after=after, newest_first=newest_first)[: size + 1]
    found = list(_read(chosen) if rows.query.select_related else chosen)
    return Page(found[:size], place_of(found[size - 1], by) if len(found) > size else None)


def _read(chosen: QuerySet[M]) -> QuerySet[M]:
    """Return the rows with what is read beside them, but join that when they are chosen.

    In a list of runs a planner could begin with the flows, and sort all their runs.
    """
    joined: QuerySet[M] = chosen.model._default_manager.order_by(*chosen.query.order_by)
    joined.query.select_related, joined.query.deferred_loading = (
        chosen.query.select_related,
        chosen.query.deferred_loading,
    )
    return joined.filter(pk__in=chosen.select_related(None).values("pk"))


def in_order(rows: QuerySet[M], *, by: str, after: Cursor | None, newest_first: bool = True) -> QuerySet[M]:
    sign, comparison = ("-", "lt") if newest_first else ("", "gt")
    ordered = rows.order_by(f"{sign}{by}", f"{sign}id")
    return ordered.filter(*_beyond(after, by, comparison)) if after else ordered


def _beyond(after: Cursor, by: str, comparison: str) -> list[Q]:
    beyond = Q(**{f"{by}__{comparison}": after.at}) | Q(**{by: after.at, f"id__{comparison}": after.id})
    # The second condition alone bounds the index scan; SQLite does not see that in the OR.
    return [beyond, Q(**{f"{by}__{comparison}e": after.at})]


def place_of(row: Any, by: str) -> Cursor:
    return Cursor(getattr(row, by), row.pk)


def merged(pages: Sequence[Page[M]], *, by: str, size: int) -> Page[M]:
    """One page, newest first, of pages over parts of the same rows.

    A part is known only down to where its next page begins; below the highest of those places rows may be missing.
    """
    horizon = max((page.after for page in pages if page.after), default=None)
    rows = sorted((row for page in pages for row in page.rows), key=lambda row: place_of(row, by), reverse=True)
    if horizon:
        rows = [row for row in rows if place_of(row, by) >= horizon]
    if len(rows) > size:
        return Page(rows[:size], place_of(rows[size - 1], by))
    return Page(rows, horizon)


def capped_count(rows: QuerySet[M], cap: int = COUNT_CAP) -> Count:
    number = rows.order_by()[: cap + 1].count()
    return Count(min(number, cap), capped=number > cap)


def capped_counts(parts: Sequence[QuerySet[M]], cap: int) -> list[Count]:
    """Count several choices of rows in one statement, each up to the cap."""
    if not parts:
        return []
    sources: list[str] = []
    params: list[Any] = []
    for part in parts:
        try:
            sql, given = part.order_by().values("pk")[: cap + 1].query.sql_with_params()
        except EmptyResultSet:
            sql, given = "SELECT 1 WHERE 1 = 0", ()
        sources.append(f"(SELECT COUNT(*) FROM ({sql}) AS counted)")
        params.extend(given)
    with reader().cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(sources)}", params)
        return [Count(min(number, cap), capped=number > cap) for number in cursor.fetchone()]
