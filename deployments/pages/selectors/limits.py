"""Limits on tags and global limits: how much of each is taken, by whom, and who waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Min, OuterRef, Subquery
from django.db.models.functions import Coalesce

from deployments.limits.selectors.capacity import slots_held, slots_of_anonymous_takers
from deployments.limits.selectors.holders import Holding, holders_of_global_limit, holding_of_tag
from deployments.models import ConcurrencyLimit, GlobalLimit, Slot
from deployments.pages.meters import Meter

LIMITS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class TagLine:
    limit: ConcurrencyLimit
    meter: Meter
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class GlobalLine:
    """The line of a global limit. `anonymous` are slots of takers without identity."""

    limit: GlobalLimit
    meter: Meter
    anonymous: int


@dataclass(frozen=True, slots=True)
class LimitsPage:
    tags: Sequence[TagLine]
    globals: Sequence[GlobalLine]
    left_out: bool


@dataclass(frozen=True, slots=True)
class TagPage:
    limit: ConcurrencyLimit
    meter: Meter
    holding: Holding


@dataclass(frozen=True, slots=True)
class GlobalPage:
    line: GlobalLine
    holding: Holding


def limits_page(*, now: datetime) -> LimitsPage:
    """Return the limits by name, up to `LIMITS_SHOWN` of each kind."""
    # Subqueries, because rows cannot be grouped where sight limits them.
    held_of = Slot.objects.filter(limit=OuterRef("pk")).order_by().values("limit")
    counted = ConcurrencyLimit.objects.annotate(
        taken=Coalesce(Subquery(held_of.annotate(number=Count("pk")).values("number")), 0),
        oldest=Subquery(held_of.annotate(first=Min("taken_at")).values("first")),
    )
    tags = list(counted.order_by("tag")[: LIMITS_SHOWN + 1])
    named = list(GlobalLimit.objects.order_by("name")[: LIMITS_SHOWN + 1])
    held = slots_held([limit.pk for limit in named], now)
    lines = [TagLine(one, Meter(one.taken, one.concurrency_limit), one.oldest) for one in tags[:LIMITS_SHOWN]]
    others = [_global_line(one, held.get(one.pk, 0), now) for one in named[:LIMITS_SHOWN]]
    return LimitsPage(lines, others, max(len(tags), len(named)) > LIMITS_SHOWN)


def tag_limit_page(limit_id: UUID) -> TagPage | None:
    limit = ConcurrencyLimit.objects.filter(pk=limit_id).first()
    if limit is None:
        return None
    holding = holding_of_tag(limit.pk, limit.tag, limit.concurrency_limit)
    return TagPage(limit, Meter(holding.taken, limit.concurrency_limit), holding)


def global_limit_page(limit_id: UUID, *, now: datetime) -> GlobalPage | None:
    limit = GlobalLimit.objects.filter(pk=limit_id).first()
    if limit is None:
        return None
    line = _global_line(limit, slots_held([limit.pk], now).get(limit.pk, 0), now)
    return GlobalPage(line, Holding(limit.limit, line.meter.taken, holders_of_global_limit(limit, now), []))


def _global_line(limit: GlobalLimit, held: int, now: datetime) -> GlobalLine:
    anonymous = slots_of_anonymous_takers(limit, now)
    return GlobalLine(limit, Meter(held + anonymous, limit.limit), anonymous)
