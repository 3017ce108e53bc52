"""Pages by keyset: the next page begins after the last row of this one, so the thousandth is as quick as the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)

# Counting further than this costs more than the number is worth.
COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of one row in an order by time and id; in an address it reads `<time>~<id>`."""

    at: datetime
    id: UUID

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.id}"

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """The cursor that `text` names; None when it names none: an old link shows the first page."""
        at, _, row_id = text.partition("~")
        try:
            moment = datetime.fromisoformat(at)
            return cls(moment, UUID(row_id)) if moment.tzinfo else None
        except ValueError:
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
    sign, comparison = ("-", "lt") if newest_first else ("", "gt")
    ordered = rows.order_by(f"{sign}{by}", f"{sign}id")
    if after:
        beyond = Q(**{f"{by}__{comparison}": after.at}) | Q(**{by: after.at, f"id__{comparison}": after.id})
        # The first condition alone bounds the index scan; SQLite does not see that in the OR.
        ordered = ordered.filter(beyond, **{f"{by}__{comparison}e": after.at})
    found = list(ordered[: size + 1])
    last = found[size - 1] if len(found) > size else None
    return Page(found[:size], Cursor(getattr(last, by), last.pk) if last else None)


def capped_count(rows: QuerySet[M], cap: int = COUNT_CAP) -> Count:
    number = rows.order_by()[: cap + 1].count()
    return Count(min(number, cap), capped=number > cap)
