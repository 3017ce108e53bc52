"""Keyset pagination: the next page starts after the last row of this one, so all pages are equally fast."""

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

# Counting stops here; an exact larger number is not worth its cost.
COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """The position of one row in an order by time and id; in an address it is `<time>~<id>`."""

    at: datetime
    id: UUID

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.id}"

    @classmethod
    def below_all_at(cls, moment: datetime) -> Cursor:
        """Return the position after every row of that moment, newest first."""
        return cls(moment, UUID(int=0))

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """Return the cursor that `text` names; None for other texts, so that an old link shows the first page."""
        at, _, row_id = text.partition("~")
        try:
            moment = datetime.fromisoformat(at)
            # Converted to UTC, because databases cannot store a moment whose year in UTC is 0 or 10000.
            return cls(moment.astimezone(UTC), UUID(row_id)) if moment.tzinfo else None
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some rows, and the cursor of the next page, which is None on the last one."""

    rows: Sequence[M]
    after: Cursor | None


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows, counted at most up to a cap."""

    number: int
    capped: bool = False

    def __str__(self) -> str:
        digits = f"{self.number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
        return digits + "+" if self.capped else digits


def page_of(rows: QuerySet[M], *, by: str, after: Cursor | None, size: int, newest_first: bool = True) -> Page[M]:
    """Return `size` rows in the order of the column `by` and the id, starting after the cursor."""
    # One row more, which shows whether there is another page.
    chosen = in_order(rows, by=by, after=after, newest_first=newest_first)[: size + 1]
    found = list(_read(chosen) if rows.query.select_related else chosen)
    return Page(found[:size], place_of(found[size - 1], by) if len(found) > size else None)


def _read(chosen: QuerySet[M]) -> QuerySet[M]:
    """Return the rows with their related rows, joined only after the rows are chosen.

    With a join, a planner could start with all flows of a list of runs, and sort all their runs.
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
    # The second condition alone bounds the index scan; SQLite does not derive it from the OR.
    return [beyond, Q(**{f"{by}__{comparison}e": after.at})]


def place_of(row: Any, by: str) -> Cursor:
    return Cursor(getattr(row, by), row.pk)


def merged(pages: Sequence[Page[M]], *, by: str, size: int) -> Page[M]:
    """Merge pages over disjoint parts of the rows into one page, newest first.

    Each part is known only down to its next cursor, so rows below the highest of these cursors may be missing and are
    cut off.
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
    """Count several querysets in one statement, each up to the cap."""
    if not parts:
        return []
    sources: list[str] = []
    params: list[Any] = []
    for part in parts:
        try:
            sql, given = part.order_by().values("pk")[: cap + 1].query.sql_with_params()
        except EmptyResultSet:
            # A filter that nothing passes, for which Django makes no SQL.
            sql, given = "SELECT 1 WHERE 1 = 0", ()
        sources.append(f"(SELECT COUNT(*) FROM ({sql}) AS counted)")
        params.extend(given)
    with reader().cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(sources)}", params)
        return [Count(min(number, cap), capped=number > cap) for number in cursor.fetchone()]
